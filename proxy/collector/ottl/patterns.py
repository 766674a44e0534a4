r"""Regular expressions as OTTL users write them, in the syntax of Go (RE2), run by Python's engine.

Differences are mended by writing: (?<n>…) becomes (?P<n>…), $ and \z the end of the text alone,
[[:alpha:]] its letters; \d, \w and \s are ASCII. Names of groups may have dots. What could run for
ever is refused (`editing.patterns`), and the more repetitions there are the less of a text is
looked at, so that no statement makes another wait.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.collector.editing.patterns import MAX_SUBJECT, compile_pattern, loops_in
from proxy.collector.ottl.values import MAX_RESULT

REACH = 4096  # characters of a text that are looked at, for a pattern with one repetition

_POSIX = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "A-Za-z0-9_",
    "xdigit": "A-Fa-f0-9",
}  # fmt: skip
_ASCII = {"d": "0-9", "w": "A-Za-z0-9_", "s": r"\t\n\f\r "}
_NEGATED = {"z": r"\Z", "D": "[^0-9]", "W": "[^A-Za-z0-9_]", "S": r"[^\t\n\f\r ]"}
_PIECE = re.compile(
    r"""\\Q(?P<quoted>.*?)(?:\\E|$)
      | \\(?P<escape>.)
      | \(\?P?<(?P<name>[A-Za-z_][\w.]*)>
      | \(\?P?<(?P<noname>[^=!>]*)>
      | \[:(?P<posix>\^?[a-z]+):\]
      | (?P<other>[\[\]$])
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPAND = re.compile(r"\$(?:\$|(\d+|[A-Za-z_]\w*)|\{([\w.]+)\})")
_FLAGS = re.compile(r"^\(\?([a-zA-Z]+)\)")


class Pattern:
    """One expression. `names` are the groups' as they were written, by their number."""

    __slots__ = ("_anchored", "_compiled", "names", "reach")

    def __init__(self, source: str) -> None:
        translated, names = _translate(source)
        self._compiled = compile_pattern(translated)
        index = self._compiled.groupindex
        self.names = {index[inner]: written for inner, written in names.items()}
        loops, ambiguous = loops_in(self._compiled)
        self.reach = MAX_RESULT if not loops else REACH if ambiguous < 2 else MAX_SUBJECT
        self._anchored = source.lstrip("(?imsU:)").startswith(("^", "\\A"))

    def found(self, text: str) -> bool:
        return self._compiled.search(text, 0, self.reach) is not None

    def groups(self, text: str) -> dict[str, str] | None:
        """The named groups; None where it does not match."""
        match = self._compiled.search(text, 0, self.reach)
        if match is None:
            return None
        return {name: match[number] or "" for number, name in self.names.items()}

    def replace(self, text: str, replaced: Callable[[re.Match[str]], str]) -> str:
        """Every match replaced. A text beyond the reach is gone through in pieces."""
        if len(text) <= self.reach:
            return self._compiled.sub(replaced, text)
        if self._anchored:
            return self._compiled.sub(replaced, text[: self.reach]) + text[self.reach :]
        pieces = []
        while text:
            end = self.reach if len(text) > self.reach else len(text)
            if end < len(text) and (blank := text.rfind(" ", end // 2, end)) > 0:
                end = blank
            pieces.append(self._compiled.sub(replaced, text[:end]))
            text = text[end:]
        return "".join(pieces)

    def expander(self, template: str) -> Callable[[re.Match[str]], str]:
        """What Go's Expand makes of $1, ${1}, $name and $$; a group that is not there is empty."""
        if "$" not in template:
            return lambda match: template
        numbers = {name: number for number, name in self.names.items()}
        most = self._compiled.groups
        parts: list[str | int] = []
        end = 0
        for reference in _EXPAND.finditer(template):
            parts.append(template[end : reference.start()])
            end = reference.end()
            word = reference[1] or reference[2]
            if word is None:
                parts.append("$")
                continue
            number = int(word) if word.isdigit() and len(word) < 4 else numbers.get(word, most + 1)
            if number <= most:
                parts.append(number)
        parts.append(template[end:])
        return lambda match: "".join(p if isinstance(p, str) else match[p] or "" for p in parts)


def _translate(source: str) -> tuple[str, dict[str, str]]:
    """The same in Python's syntax, and its groups' names -> those that were written."""
    flags = _FLAGS.match(source)
    if flags is not None and "U" in flags[1]:
        raise ValueError("(?U) is not there: write *? where the shortest match is meant")
    state = _State(multiline=flags is not None and "m" in flags[1])
    return _PIECE.sub(state.piece, source), state.names


class _State:
    def __init__(self, multiline: bool) -> None:
        self.names: dict[str, str] = {}
        self._multiline = multiline
        self._in_set = False

    def piece(self, match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        return str(getattr(self, f"_{kind}")(match))

    def _quoted(self, match: re.Match[str]) -> str:
        return re.escape(match["quoted"])

    def _escape(self, match: re.Match[str]) -> str:
        letter = match["escape"]
        if letter in "pP":
            raise ValueError(rf"\{letter} is not there: write a set such as [A-Za-z]")
        if letter in _ASCII:
            inside = _ASCII[letter]
            return inside if self._in_set else f"[{inside}]"
        return _NEGATED.get(letter, match[0]) if not self._in_set else match[0]

    def _name(self, match: re.Match[str]) -> str:
        inner = f"g{len(self.names)}"
        self.names[inner] = match["name"]
        return f"(?P<{inner}>"

    def _noname(self, match: re.Match[str]) -> str:
        raise ValueError(f"{match['noname']!r} is no name of a group: letters, digits, _ and .")

    def _posix(self, match: re.Match[str]) -> str:
        name = match["posix"]
        if name not in _POSIX:
            raise ValueError(f"[:{name}:] is no class: known are {', '.join(_POSIX)}")
        return _POSIX[name]

    def _other(self, match: re.Match[str]) -> str:
        character = match["other"]
        if character == "$":
            return r"\Z" if not self._in_set and not self._multiline else "$"
        if character == "[" and self._in_set:
            return r"\["
        self._in_set = character == "["
        return character
