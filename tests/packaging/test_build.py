"""What is compiled where it can be, and what happens where it cannot: sources, all or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.tree import COMPILED, STAMP, SUFFIX, TOLD, WRITTEN, Tree, unpacked

KERNEL, TOP = f"proxy/kernel/compiled{SUFFIX}", f"proxy/compiled{SUFFIX}"

pytest.importorskip("Cython")
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")

NO_HEADERS = """
import sysconfig
for scheme in sysconfig._INSTALL_SCHEMES.values():
    scheme["include"] = "/nowhere"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = Tree(tmp_path_factory.mktemp("compiled"))
    assert tree.build() == ""
    return tree.home


@pytest.fixture
def built(compiled: Path, tmp_path: Path) -> Tree:
    """A tree of its own in which everything is compiled already."""
    tree = Tree(tmp_path / "tree")
    shutil.copytree(compiled, tree.home, dirs_exist_ok=True)
    tree.age()
    return tree


def stamp(tree: Tree) -> str:
    return (tree.home / STAMP).read_text()


def modules(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("proxy/**/*.so"))


@needs_compiler
def test_compiled_modules_are_used(built: Tree) -> None:
    assert stamp(built) == "compiled\nproxy.kernel.tiny\nproxy.same\nproxy/kernel/tiny.h\n"
    assert built.told() == COMPILED


@needs_compiler
def test_the_environment_asks_for_sources(built: Tree) -> None:
    assert built.told(SPANGATE_PURE="1") == "SPANGATE_PURE=1|py|py"
    assert built.told(SPANGATE_PURE="0") == COMPILED


def test_nothing_was_built(tree: Tree) -> None:
    assert tree.told() == "not compiled|py|py"


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"CC": "/bin/false"}, "no C compiler (/bin/false does not work)"),
        ({"PATH": "/nowhere", "CC": "cc"}, "no C compiler (cc does not work)"),
        ({"PYTHONPATH": "headers"}, "no Python.h (on Debian: apt install python3-dev)"),
        ({"PYTHONPATH": "cython"}, "no Cython"),
    ],
)
def test_what_a_build_lacks_is_told_in_one_line(
    tree: Tree, env: dict[str, str], reason: str
) -> None:
    (tree.home / "headers").mkdir()
    (tree.home / "headers/sitecustomize.py").write_text(NO_HEADERS)
    (tree.home / "cython/Cython").mkdir(parents=True)
    (tree.home / "cython/Cython/__init__.py").write_text("raise ImportError\n")
    if reason == "no Cython" and not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    assert tree.build(**env) == f"spangate: not compiled: {reason}; it runs as plain Python\n"
    assert tree.told() == f"not compiled: {reason}|py|py"
    assert modules(tree.home) == []


def test_a_build_that_must_compile_fails_without_a_compiler(tree: Tree) -> None:
    env = {"SPANGATE_PURE": "0", "CC": "/bin/false"}
    done = tree.tried("setup.py", "-q", "build_ext", "--inplace", **env)
    assert done.returncode == 1
    assert "spangate: not compiled: no C compiler" in done.stderr
    assert tree.told() == "not compiled|py|py"


@needs_compiler
@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("proxy/kernel/tiny.pyx", "cpdef int twice(int n:\n", "Cython refused"),
        ("proxy/same.pxd", "from proxy.kernel.tiny cimport no_such\n", "Cython refused"),
        (
            "proxy/kernel/tiny.pyx",
            'cdef extern from *:\n    """\n    #error no\n    """\n'
            + WRITTEN["proxy/kernel/tiny.pyx"],
            "the C compiler failed",
        ),
    ],
)
def test_one_broken_source_leaves_none_compiled(
    built: Tree, name: str, text: str, reason: str
) -> None:
    built.touch(name, text)
    lines = [line for line in built.build().splitlines() if line.startswith("spangate: ")]
    assert [line.startswith(f"spangate: not compiled: {reason}") for line in lines] == [True]
    assert built.told().endswith("|py|py")
    built.touch(name, WRITTEN[name])
    assert built.build() == ""
    assert built.told() == COMPILED


@needs_compiler
@pytest.mark.parametrize("name", [n for n in WRITTEN if "tiny" in n or "same" in n])
def test_a_source_that_has_changed_is_used_until_the_next_build(built: Tree, name: str) -> None:
    built.touch(name)
    assert built.told() == f"{Path(name).name} has changed since it was compiled|py|py"
    built.build()
    assert built.told() == COMPILED


@needs_compiler
def test_a_change_is_compiled(built: Tree) -> None:
    built.touch("proxy/kernel/tiny.pyx", "cpdef int twice(int number):\n    return 14\n")
    built.touch("proxy/same.py", WRITTEN["proxy/same.py"].replace("number\n", "7\n"))
    built.build()
    code = "from proxy.same import thrice; print(thrice(0), thrice.__class__.__name__)"
    assert built.python("-c", code).stdout == "21 builtin_function_or_method\n"


@needs_compiler
def test_a_change_of_a_header_is_compiled(built: Tree) -> None:
    built.touch("proxy/kernel/tiny.h", "#define TIMES 3\n")
    built.build()
    code = "from proxy.kernel.tiny import twice; print(twice(7))"
    assert built.python("-c", code).stdout == "21\n"


@needs_compiler
def test_other_flags_compile_all_of_it_again(built: Tree) -> None:
    built.build(SPANGATE_CFLAGS="-O0 -g")
    assert stamp(built).startswith("compiled -O0 -g\n")
    file = built.home / TOP
    assert b".debug_info" in file.read_bytes()
    built.build()
    assert b".debug_info" not in file.read_bytes()


@needs_compiler
def test_a_module_that_is_compiled_no_more_is_forgotten(built: Tree) -> None:
    (built.home / "proxy/same.pxd").unlink()
    assert built.told() == "same.pxd has changed since it was compiled|py|py"
    built.build()
    assert built.told() == "|py|so"
    wheel = unpacked(built.wheel(), built.home / "unpacked")
    assert modules(wheel) == [KERNEL]


@needs_compiler
def test_modules_of_one_package_share_an_object(built: Tree) -> None:
    """Also what is added to it, and what is taken away again."""
    code = "import proxy.same, proxy.more; print(proxy.more.__file__ == proxy.same.__file__)"
    built.touch("proxy/more.py", "def four():\n    return 4\n")
    built.touch("proxy/more.pxd", "cpdef int four()\n")
    built.build()
    assert built.python("-c", code).stdout == "True\n"
    (built.home / "proxy/more.pxd").unlink()
    built.build()
    assert built.python("-c", code).stdout == "False\n"
    assert b"PyInit_more" not in (built.home / TOP).read_bytes()


@needs_compiler
def test_only_what_has_changed_is_compiled_again(built: Tree) -> None:
    objects = {path: path.stat().st_mtime_ns for path in built.home.rglob("build/**/*.o")}
    built.touch("proxy/same.py")
    built.build()
    changed = [path.stem for path, then in objects.items() if path.stat().st_mtime_ns != then]
    assert changed == ["same"]


@needs_compiler
def test_a_module_that_is_missing(built: Tree) -> None:
    (built.home / TOP).unlink()
    assert built.told() == f"the compiled {TOP} is missing|py|py"


@needs_compiler
def test_modules_of_another_machine(built: Tree) -> None:
    for module in modules(built.home):
        (built.home / module).write_bytes(b"\x7fELF of another kind")
    reason, *loaded = built.told().split("|")
    assert reason.startswith("the compiled modules cannot be loaded: ")
    assert loaded == ["py", "py"]


@needs_compiler
def test_two_interpreters_share_a_checkout(built: Tree) -> None:
    """What one has built is neither used nor touched by the other."""
    if (other := other_python()) is None:
        pytest.skip("there is no other Python from 3.11 on")
    told = built.python("-c", TOLD, interpreter=other).stdout
    assert told == "not compiled|py|py\n"
    assert built.told() == COMPILED


def other_python() -> str | None:
    code = "import sys; print(sys.version_info[:2] != {} and sys.version_info >= (3, 11))"
    folders = [Path.home() / ".pyenv/versions", Path("/opt"), Path("/usr/local")]
    for path in [p for folder in folders for p in folder.glob("**/bin/python3.1[1-9]")]:
        asked = [str(path), "-c", code.format(tuple(sys.version_info[:2]))]
        if "True" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout:
            return str(path)
    return None


@needs_compiler
def test_an_editable_install_builds_in_place(tree: Tree) -> None:
    tree.python("-c", "from setuptools import build_meta as b; b.build_editable('dist')")
    assert tree.told() == COMPILED


@needs_compiler
def test_a_build_from_elsewhere(tree: Tree, tmp_path: Path) -> None:
    elsewhere = tmp_path / "read-only"
    elsewhere.mkdir(mode=0o500)
    script = str(tree.home / "setup.py")
    tree.python(script, "-q", "build_ext", "--inplace", cwd=elsewhere)
    assert tree.told() == COMPILED
    assert not any(elsewhere.iterdir())


@needs_compiler
def test_a_wheel_has_all_that_was_compiled(tree: Tree) -> None:
    wheel = tree.wheel()
    home = unpacked(wheel, tree.home / "unpacked")
    assert modules(home) == [TOP, KERNEL]
    assert tree.told(home) == COMPILED
    assert tree.told(home, SPANGATE_PURE="1") == "SPANGATE_PURE=1|py|py"
    assert not [path for kind in ("pxd", "pyx", "h") for path in home.rglob(f"*.{kind}")]
    assert "none-any" not in wheel.name


@needs_compiler
def test_an_installed_package_does_not_look_at_times(tree: Tree) -> None:
    home = unpacked(tree.wheel(), tree.home / "unpacked")
    os.utime(home / "proxy/same.py", (1e10, 1e10))
    assert tree.told(home) == COMPILED


@needs_compiler
def test_a_pure_wheel_of_a_checkout_that_is_compiled(built: Tree) -> None:
    wheel = built.wheel(SPANGATE_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    home = unpacked(wheel, built.home / "unpacked")
    assert modules(home) == []
    assert built.told(home) == "not compiled|py|py"
    assert built.told() == COMPILED


def test_a_wheel_without_a_compiler(tree: Tree) -> None:
    home = unpacked(tree.wheel(CC="/bin/false"), tree.home / "unpacked")
    assert modules(home) == []
    assert tree.told(home).startswith("not compiled: no C compiler (/bin/false does not work)|")


@needs_compiler
def test_a_source_archive_builds_both_ways(built: Tree, tmp_path: Path) -> None:
    archive = built.sdist(CC="/bin/false")
    for env, told in [({}, COMPILED), ({"CC": "/bin/false"}, "|py|py")]:
        source = unpacked(archive, tmp_path / f"archive{len(env)}")
        assert modules(source) == []
        assert not list(source.rglob("built*.txt"))
        tree = Tree.__new__(Tree)
        tree.home = source
        assert tree.told(unpacked(tree.wheel(**env), tmp_path / f"u{len(env)}")).endswith(told)
