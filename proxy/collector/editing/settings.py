"""Tables of the processors `attributes` and `resource`: what to do, and to which items.

Names are those of the OpenTelemetry Collector.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.parts import Problems
from proxy.config.section import Section

Plain = str | bool | int | float | list[str]

CONTEXTS = ("resource.", "gateway.", "env.")
_SETTING = ("insert", "update", "upsert")
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


class Action(Section, frozen=True):
    """One change of attributes; those of one list are made in their order."""

    # what is done
    action: Literal["insert", "update", "upsert", "delete", "hash", "extract", "convert"]
    key: str = ""  # the attribute
    value: Plain | None = None  # what it becomes
    from_attribute: str = ""  # another attribute of the same item
    from_context: str = ""  # "resource.KEY", "gateway.KEY" (of this process), "env.NAME"
    default_value: Plain | None = None  # where from_attribute or from_context find nothing
    pattern: str = ""  # extract: named groups become attributes; delete, hash: keys that match
    converted_type: Literal["", "int", "double", "string", "boolean"] = ""  # what it is made into
    hash_function: Literal["sha1", "sha256"] = "sha256"  # hex digits of it

    def problems(self) -> Problems:
        sources = [k for k in ("value", "from_attribute", "from_context") if self._has(k)]
        if not self.key and not (self.action in ("delete", "hash") and self.pattern):
            yield ("key",), f"`{self.action}` needs a key", ""
        alone = not sources and self.default_value is not None
        if self.action in _SETTING and len(sources) != 1 and not alone:
            remedy = "value, from_attribute, from_context or default_value"
            yield (), f"`{self.action}` needs one source of the value", remedy
        if self.action not in _SETTING and (sources or self.default_value is not None):
            key = sources[0] if sources else "default_value"
            yield (key,), f"`{self.action}` takes no value", "leave it out"
        if (self.action == "convert") != bool(self.converted_type):
            yield ("converted_type",), "`convert` and `converted_type` come together", ""
        if self.from_context and not self.from_context.startswith(CONTEXTS):
            remedy = "resource.KEY, gateway.KEY or env.NAME; batches have no request headers"
            yield ("from_context",), f"{self.from_context!r} is not known", remedy
        yield from self._pattern()

    def _has(self, key: str) -> bool:
        return getattr(self, key) not in (None, "") or (key == "value" and self.value == "")

    def _pattern(self) -> Problems:
        if self.action not in ("extract", "delete", "hash") and self.pattern:
            yield ("pattern",), f"`{self.action}` takes no pattern", "leave it out"
        if self.pattern:
            try:
                compiled = compile_pattern(self.pattern)
            except ValueError as error:
                yield ("pattern",), str(error), ""
                return
            if self.action == "extract" and len(compiled.groupindex) != (compiled.groups or -1):
                yield ("pattern",), "every group needs a name", 'write "(?P<name>…)"'
        elif self.action == "extract":
            yield ("pattern",), "`extract` needs a pattern", 'write "(?P<name>…)"'


class Pair(Section, frozen=True):
    """An attribute to look for."""

    key: str  # the attribute
    value: Plain | None = None  # None = any


class Library(Section, frozen=True):
    """An instrumentation scope."""

    name: str  # of the instrumentation scope
    version: str | None = None  # None = any


class Match(Section, frozen=True):
    """Which items: all of what is given must hold; of a list of names, one of them."""

    match_type: Literal["strict", "regexp"]  # how texts are compared
    services: list[str] = field(default_factory=list)  # service.name
    resources: list[Pair] = field(default_factory=list)  # all of them
    libraries: list[Library] = field(default_factory=list)
    attributes: list[Pair] = field(default_factory=list)  # all of them
    span_names: list[str] = field(default_factory=list)  # any of which will do
    span_kinds: list[str] = field(default_factory=list)  # "server", "client", …
    log_bodies: list[str] = field(default_factory=list)  # any of which will do
    log_severity_texts: list[str] = field(default_factory=list)  # any of which will do
    log_severity_min: int = 0  # severity_number at least; 0 = any
    metric_names: list[str] = field(default_factory=list)  # any of which will do

    def problems(self) -> Problems:
        lists = [k for k in self.__struct_fields__ if k != "match_type"]
        if not any(getattr(self, key) for key in lists):
            yield (), "nothing to match is given", f"one of {', '.join(lists)}"
        for kind in self.span_kinds:
            if kind not in _KINDS:
                yield ("span_kinds",), f"{kind!r} is not a kind", ", ".join(_KINDS)
        if self.match_type == "strict":
            return
        for key, text in self._patterns():
            try:
                compile_pattern(text)
            except ValueError as error:
                yield (key,), f"{text!r}: {error}", ""

    def _patterns(self) -> list[tuple[str, str]]:
        names = ("services", "span_names", "log_bodies", "log_severity_texts", "metric_names")
        found = [(key, text) for key in names for text in getattr(self, key)]
        pairs = [("resources", p) for p in self.resources]
        pairs += [("attributes", p) for p in self.attributes]
        found += [(key, pair.value) for key, pair in pairs if isinstance(pair.value, str)]
        for library in self.libraries:
            found += [("libraries", t) for t in (library.name, library.version) if t]
        return found


def check_actions(key: str, actions: list[Action]) -> Problems:
    if not actions:
        yield (), "there is nothing to do", f"write {key} = [{{ … }}]"
    for index, action in enumerate(actions):
        for path, message, remedy in action.problems():
            yield (key, index, *path), message, remedy
