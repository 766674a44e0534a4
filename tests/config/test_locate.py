"""Lines of keys: every notation of TOML, and generated documents whose lines are known."""

from __future__ import annotations

import string
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.locate import Lines, Path, dotted, locate

DOCUMENT = '''# comment with "quotes" and [brackets]
title = "a # b"            # 2
"quoted key" = 1
a.b . "c.d" = 2            # 4
text = """
x = 1
[no.table]
""""                       # ends in a quote
raw = \'\'\'
y = 2\'\'\'                # 10
after = 1979-05-27 07:32:00 # 11
list = [
  "one",                   # 13
  { k = 1, "l m" = [ 2,
      3 ] },               # 15
  [[4], []],
]
[table]                    # 18
x = 'it\\'
[ table . sub ]            # 20
y = "\\"]"
[[route]]                  # 22
path = "/a"
[route.headers.request]    # 24
set = { "x-a.b" = "1" }
[[route]]                  # 26
path = "/b"
[[route.nested]]           # 28
z = 1
[[route.nested]]           # 30
z = 2
'''

PLACES: list[tuple[Path, int]] = [
    (("title",), 2),
    (("quoted key",), 3),
    (("a", "b", "c.d"), 4),
    (("text",), 5),
    (("raw",), 9),
    (("after",), 11),
    (("list",), 12),
    (("list", 0), 13),
    (("list", 1, "k"), 14),
    (("list", 1, "l m", 1), 15),
    (("list", 2, 0, 0), 16),
    (("table",), 18),
    (("table", "x"), 19),
    (("table", "sub"), 20),
    (("table", "sub", "y"), 21),
    (("route",), 22),
    (("route", 0), 22),
    (("route", 0, "headers", "request", "set", "x-a.b"), 25),
    (("route", 1, "path"), 27),
    (("route", 1, "nested", 0, "z"), 29),
    (("route", 1, "nested", 1, "z"), 31),
]


@pytest.mark.parametrize(("path", "line"), PLACES, ids=[dotted(p) for p, _ in PLACES])
def test_every_notation_has_its_line(path: Path, line: int) -> None:
    assert locate(DOCUMENT).exact(path) == line
    assert locate(DOCUMENT.replace("\n", "\r\n")).exact(path) == line


def test_what_is_not_in_the_file_has_the_line_of_the_nearest_table() -> None:
    lines = locate(DOCUMENT)
    assert lines.exact(("route", 1, "timeout")) == 0
    assert lines.near(("route", 1, "timeout")) == 26
    assert lines.near(("nothing",)) == 0


def test_a_short_form_is_known_by_what_was_written() -> None:
    lines = Lines({("listen",): 3})
    lines.alias(("listen", 0, "address"), ("listen",))
    assert lines.written(("listen", 0, "address")) == ("listen",)
    assert lines.written(("listen", 0, "trust")) == ("listen", 0, "trust")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("route", 2, "timeout"), "route[2].timeout"),
        (("route", 0, "headers", "request", "set", "a b"), 'route[0].headers.request.set."a b"'),
        ((), ""),
    ],
)
def test_paths_are_written_as_people_write_them(path: Path, text: str) -> None:
    assert dotted(path) == text


NAMES = st.one_of(
    st.text(string.ascii_letters + "-_" + string.digits, min_size=1, max_size=6),
    st.text(string.printable.replace("\n", "").replace("\r", ""), max_size=6),
    st.text(max_size=3),
)
SCALARS = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text(max_size=12), st.floats(allow_nan=False)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


class Writer:
    """Writes a tree as TOML in a shape of its own choice, and notes where everything went."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[Path, int] = {}

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def blank(self, *, newlines: bool) -> None:
        choices = ["", " ", "\t"] + (["\n", " # ] } \" '\n", "\n\n"] if newlines else [])
        self.text += self.data.draw(st.sampled_from(choices))

    def table(self, tree: dict[str, Any], path: Path) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                continue
            self.note((*path, key))
            self.text += f"{quoted(key)} = "
            self.value(value, (*path, key))
            self.text += self.data.draw(st.sampled_from(["\n", " # x = 1\n", "\n\n"]))
        for key, value in tree.items():
            if isinstance(value, dict):
                self.note((*path, key))
                steps = [quoted(s) for s in (*path, key) if isinstance(s, str)]
                self.text += f"[{' . '.join(steps)}]\n"
                self.table(value, (*path, key))

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, list):
            self.several(value, path)
        elif isinstance(value, dict):
            self.text += "{ "
            for i, (key, item) in enumerate(value.items()):
                self.text += ", " if i else ""
                self.note((*path, key))
                self.text += f"{quoted(key)} = "
                self.value(item, (*path, key))
            self.text += " }"
        elif isinstance(value, str):
            self.string(value)
        elif isinstance(value, bool):
            self.text += "true" if value else "false"
        else:
            self.text += repr(value).replace("e", ".0e") if "." not in repr(value) else repr(value)

    def several(self, items: list[Any], path: Path) -> None:
        self.text += "["
        for i, item in enumerate(items):
            self.blank(newlines=True)
            self.note((*path, i))
            self.value(item, (*path, i))
            self.blank(newlines=True)
            self.text += ","
        self.blank(newlines=True)
        self.text += "]"

    def string(self, value: str) -> None:
        plain = all(c.isprintable() or c == "\n" for c in value)
        if plain and "'" not in value and self.data.draw(st.booleans()):
            self.text += f"'''\n{value}'''"
        elif plain and not set(value) & {"\\", '"'} and self.data.draw(st.booleans()):
            self.text += f'"""{value}"""'
        else:
            self.text += in_quotes(value)


def quoted(key: str) -> str:
    is_bare = key and all(c in string.ascii_letters + string.digits + "-_" for c in key)
    return key if is_bare and len(key) % 2 else in_quotes(key)


def in_quotes(text: str) -> str:
    inside = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{inside}"'


@given(st.dictionaries(NAMES, TREES, max_size=4), st.data())
def test_generated_documents_have_the_lines_they_were_written_on(
    tree: dict[str, Any], data: st.DataObject
) -> None:
    writer = Writer(data)
    writer.table(tree, ())
    tomllib.loads(writer.text)
    lines = locate(writer.text)
    assert {path: lines.exact(path) for path in writer.lines} == writer.lines
