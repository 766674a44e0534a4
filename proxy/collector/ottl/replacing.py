"""The editors that replace: by regular expressions or by globs, one text or all of a map."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from proxy.collector.editing.values import clean
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.arguments import Arguments, Function, function
from proxy.collector.ottl.maps import map_of
from proxy.collector.ottl.paths import View
from proxy.collector.ottl.texts import string
from proxy.collector.ottl.values import MAX_RESULT, short, text

Change = Callable[[View], bool]
Rewrite = Callable[[View, str], str]

_LONGEST = 4096  # characters that are put in the place of one match
_GLOBBED = 4096  # characters of a text that a glob looks at; none matches a longer one
_TOKENS = 128  # of a glob
_GLOB = re.compile(r"\\.|\[\^?[^\]]*\]|.", re.DOTALL)


def _shape(arguments: Arguments) -> Callable[[str], str]:
    """What `function` makes of a replacement, and `replacement_format` of that."""
    apply = arguments.function("function")
    layout: str = arguments.literal("replacement_format", str, "%s")
    if layout.count("%s") != 1:
        at = arguments.at("replacement_format")
        raise ExpressionError("a format has one %s", at, 'write "user-%s"')

    def shaped(word: str) -> str:
        if apply is None:
            return word[:_LONGEST]
        return layout.replace("%s", text(apply(word)), 1)[:_LONGEST]

    return shaped


def _by_pattern(arguments: Arguments) -> Rewrite:
    pattern = arguments.pattern("regex")
    replacement = arguments.getter("replacement")
    shaped = _shape(arguments)

    def rewrite(view: View, value: str) -> str:
        expand = pattern.expander(string(replacement(view), "replacement"))

        def put(match: re.Match[str]) -> str:
            return shaped(expand(match))

        # What would grow too large is cut before, so that nothing stays unreplaced.
        return short(pattern.replace(value[:MAX_RESULT], put))

    return rewrite


def _by_glob(arguments: Arguments) -> Callable[[View, str], str | None]:
    matches = glob(arguments.literal("pattern", str), arguments.at("pattern"))
    replacement = arguments.getter("replacement")
    shaped = _shape(arguments)

    def rewrite(view: View, value: str) -> str | None:
        if not matches(value):
            return None
        return shaped(string(replacement(view), "replacement"))

    return rewrite


def glob(pattern: str, at: int) -> Callable[[str], bool]:
    """The syntax of Go's filepath.Match, in time of the text's length times the pattern's."""
    tokens = _GLOB.findall(pattern)
    if len(tokens) > _TOKENS:
        raise ExpressionError(f"a glob has at most {_TOKENS} characters", at)
    try:
        pieces = [re.compile(_character(token), re.DOTALL) for token in tokens]
    except re.error as error:
        raise ExpressionError(f"not a glob: {error}", at, "write * ? or [abc]") from None
    stars = frozenset(n for n, token in enumerate(tokens) if token == "*")
    return lambda value: len(value) <= _GLOBBED and _matches(pieces, stars, value)


def _character(token: str) -> str:
    if token in ("?", "*"):
        return "[^/]"
    return token if token[0] == "[" and len(token) > 1 else re.escape(token[-1])


def _matches(pieces: list[re.Pattern[str]], stars: frozenset[int], value: str) -> bool:
    """What the first n pieces have matched can end at `ends`; one step for each piece."""
    ends = {0}
    for number, piece in enumerate(pieces):
        after = {end + 1 for end in ends if piece.match(value, end)}
        if number in stars:
            after = ends | after
            for end in sorted(after):
                while end < len(value) and value[end] != "/" and end + 1 not in after:
                    end += 1
                    after.add(end)
        ends = after
    return len(value) in ends


def _replace_one(arguments: Arguments, rewrite: Callable[[View, str], str | None]) -> Change:
    place = arguments.place(arguments.nodes["target"])
    get, set_ = place.get, place.set
    if set_ is None:
        raise ExpressionError("this cannot be set", arguments.at("target"))

    def change(view: View) -> bool:
        value = get(view)
        if not isinstance(value, str):
            return False
        made = rewrite(view, value)
        if made is None or made == value:
            return False
        set_(view, made)
        return True

    return change


def _replace_values(arguments: Arguments, rewrite: Callable[[View, str], str | None]) -> Change:
    target = map_of(arguments)

    def change(view: View) -> bool:
        changed = False
        for pair in target(view):
            if pair.value.HasField("string_value"):
                value = pair.value.string_value
                made = rewrite(view, value)
                if made is not None and made != value:
                    pair.value.string_value = clean(made)
                    changed = True
        return changed

    return change


def _replace_keys(arguments: Arguments, rewrite: Rewrite) -> Change:
    """A key that comes to be that of another attribute takes its place."""
    target = map_of(arguments)

    def change(view: View) -> bool:
        content = target(view)
        renamed = {pair.key: rewrite(view, pair.key) for pair in content}
        if all(old == new for old, new in renamed.items()):
            return False
        for pair in list(content):
            pair.key = clean(renamed[pair.key])
        _unique(content)
        return True

    return change


def _unique(content: Any) -> None:
    seen: set[str] = set()
    for index in range(len(content) - 1, -1, -1):
        if content[index].key in seen:
            del content[index]
        else:
            seen.add(content[index].key)


def _replace_pattern(arguments: Arguments) -> Change:
    return _replace_one(arguments, _by_pattern(arguments))


def _replace_match(arguments: Arguments) -> Change:
    return _replace_one(arguments, _by_glob(arguments))


def _replace_all_patterns(arguments: Arguments) -> Change:
    rewrite = _by_pattern(arguments)
    if arguments.one_of("mode", "value", "key") == "key":
        return _replace_keys(arguments, rewrite)
    return _replace_values(arguments, rewrite)


def _replace_all_matches(arguments: Arguments) -> Change:
    return _replace_values(arguments, _by_glob(arguments))


_MORE = "replacement [function] [replacement_format]"
REPLACING: dict[str, Function] = {
    "replace_pattern": function(f"target regex {_MORE}", _replace_pattern),
    "replace_match": function(f"target pattern {_MORE}", _replace_match),
    "replace_all_patterns": function(f"target mode regex {_MORE}", _replace_all_patterns),
    "replace_all_matches": function(f"target pattern {_MORE}", _replace_all_matches),
}
