"""Builds what is compiled: each module of proxy/ that has a `.pxd` beside it.

The source is the `.pyx` where there is one (in proxy/kernel/, whose `.py` is its twin in Python),
and else the same `.py` that runs where nothing is compiled.

Everything else about the package is in pyproject.toml. Without a compiler, or without Python's
headers, nothing is built and one line says so: the same sources then run as they are. Compiled
modules read each other's structs, so that it is all of them or none: `proxy/kernel/built.txt`,
which is written last, lists them, and without it none is loaded (`proxy/plain.py`).

SPANGATE_CFLAGS  flags for the compiler, behind ours: "-fsanitize=address,undefined -O1 -g"
SPANGATE_PURE=1  builds nothing
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

STAMP = Path("proxy", "kernel", "built.txt")
MORE = os.getenv("SPANGATE_CFLAGS", "").split()
FLAGS = ["-O2", "-g0", "-fno-plt", "-Wno-unused-function", *MORE]
# What is safe stays on; the kernel's own files say what they do without.
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "auto_pickle": False,
    "binding": False,
    "nonecheck": True,
}


def sources() -> list[Path]:
    """What is compiled, by path."""
    found = []
    for header in sorted(Path("proxy").rglob("*.pxd")):
        written = header.with_suffix(".pyx")
        found.append(written if written.exists() else header.with_suffix(".py"))
    return found


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    named = [(".".join(path.with_suffix("").parts), str(path)) for path in sources()]
    made = [
        Extension(name, [path], extra_compile_args=FLAGS, extra_link_args=MORE, optional=True)
        for name, path in named
    ]
    return cythonize(
        made,
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        quiet=True,
        emit_linenums=False,
    )


class Build(build_ext):
    """All or none, and one line about it."""

    def run(self) -> None:
        stamp = STAMP if self.inplace else Path(self.build_lib) / STAMP
        stamp.unlink(missing_ok=True)
        super().run()
        built = [ext for ext in self.extensions if Path(self.get_ext_fullpath(ext.name)).exists()]
        if built and len(built) == len(self.extensions):
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text("".join(f"{ext.name}\n" for ext in built))
        else:
            print("spangate: not compiled (no C compiler, or no Python.h); it runs as plain Python")


setup(
    ext_modules=[] if os.getenv("SPANGATE_PURE") == "1" else extensions(),
    cmdclass={"build_ext": Build},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
