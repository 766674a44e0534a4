"""Relabelling: steps that rename, choose and give up labels, series and targets.

Pure: a list of steps becomes one function. Semantics are Prometheus's (relabel_config), with
regular expressions of Python instead of RE2. A label that becomes empty is gone at once, also for
the steps behind it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from proxy.collector.receivers.prometheus.settings import Relabel

Labels = dict[str, str]
Step = Callable[[Labels], bool]  # changes the labels; False = give up what has them

_REFERENCE = re.compile(r"\$(?:(\$)|(\d+|[a-zA-Z_]\w*)|\{([a-zA-Z_0-9]+)\})")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def relabelling(steps: Sequence[Relabel]) -> Callable[[Labels], Labels | None] | None:
    """A function of labels: a changed copy, or None if they are given up; None for no steps."""
    if not steps:
        return None
    compiled = [_MAKERS[step.action](step) for step in steps]

    def relabel(labels: Labels) -> Labels | None:
        changed = dict(labels)
        for step in compiled:
            if not step(changed):
                return None
        return {key: value for key, value in changed.items() if value}

    return relabel


def _set(labels: Labels, name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _source(step: Relabel) -> Callable[[Labels], str]:
    names, separator = tuple(step.source_labels), step.separator
    return lambda labels: separator.join([labels.get(name, "") for name in names])


def _choose(step: Relabel) -> Step:
    matches, source = re.compile(step.regex, re.DOTALL).fullmatch, _source(step)
    wanted = step.action == "keep"
    return lambda labels: (matches(source(labels)) is not None) == wanted


def _replace(step: Relabel) -> Step:
    matches, source = re.compile(step.regex, re.DOTALL).fullmatch, _source(step)

    def replace(labels: Labels) -> bool:
        found = matches(source(labels))
        if found is not None:
            target = expand(step.target_label, found)
            if _LABEL.fullmatch(target):
                _set(labels, target, expand(step.replacement, found))
            else:
                labels.pop(step.target_label, None)
        return True

    return replace


def _compare(step: Relabel) -> Step:
    source, target, wanted = _source(step), step.target_label, step.action == "keepequal"
    return lambda labels: (source(labels) == labels.get(target, "")) == wanted


def _case(step: Relabel) -> Step:
    source, lower = _source(step), step.action == "lowercase"

    def change(labels: Labels) -> bool:
        text = source(labels)
        _set(labels, step.target_label, text.lower() if lower else text.upper())
        return True

    return change


def _hash(step: Relabel) -> Step:
    """The last eight bytes of MD5, so that several of us choose the same targets as Prometheus."""
    source = _source(step)

    def choose(labels: Labels) -> bool:
        digest = hashlib.md5(source(labels).encode(), usedforsecurity=False).digest()
        number = int.from_bytes(digest[8:], "big") % step.modulus
        labels[step.target_label] = str(number)
        return True

    return choose


def _map(step: Relabel) -> Step:
    matches = re.compile(step.regex, re.DOTALL).fullmatch

    def rename(labels: Labels) -> bool:
        for key, value in list(labels.items()):
            found = matches(key)
            if found is not None and (target := expand(step.replacement, found)):
                labels[target] = value
        return True

    return rename


def _select(step: Relabel) -> Step:
    matches = re.compile(step.regex, re.DOTALL).fullmatch
    keep = step.action == "labelkeep"

    def select(labels: Labels) -> bool:
        for key in [key for key in labels if (matches(key) is not None) != keep]:
            del labels[key]
        return True

    return select


def expand(template: str, found: re.Match[str]) -> str:
    """`template` with what groups found; groups that took no part are empty."""

    def value(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(value, template) if "$" in template else template


_MAKERS: dict[str, Callable[[Relabel], Step]] = {
    "keep": _choose,
    "drop": _choose,
    "replace": _replace,
    "keepequal": _compare,
    "dropequal": _compare,
    "lowercase": _case,
    "uppercase": _case,
    "hashmod": _hash,
    "labelmap": _map,
    "labeldrop": _select,
    "labelkeep": _select,
}
