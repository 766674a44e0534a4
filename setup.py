"""Builds what is compiled: each module of proxy/ that has a `.pxd` beside it.

The source is the `.pyx` where there is one (in proxy/kernel/, whose `.py` is its twin in Python),
and else the same `.py` that runs where nothing is compiled. Everything else about the package is
in pyproject.toml.

Compiled modules read each other's structs, so that it is all of them or none: the file STAMP is
written last. It lists what was compiled, or says why nothing was: without a compiler, or where
anything goes wrong, one line tells so and the same sources run as they are (`proxy/plain.py`).
What one interpreter has built stands beside what another has, since both the modules and the
stamp have the interpreter's suffix.

SPANGATE_CFLAGS  flags for the compiler, behind ours: "-fsanitize=address,undefined -O1 -g"
SPANGATE_PURE=1  builds nothing; the wheel is one for all platforms
SPANGATE_PURE=0  fails where it would go on without
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError

os.chdir(Path(__file__).resolve().parent)
SUFFIX = EXTENSION_SUFFIXES[0]  # ".cpython-311-x86_64-linux-gnu.so"
TAG = SUFFIX.removesuffix(".so")
STAMP = Path("proxy", "kernel", f"built{TAG}.txt")
FAILURES = (BaseError, CCompilerError)
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


# Included by the `.pyx` beside them; Cython finds out by which.
HEADERS = sorted(str(path) for path in Path("proxy").rglob("*.h"))


class NotCompiledError(Exception):
    """Why there is nothing compiled, in a few words."""


def extensions() -> Iterator[Extension]:
    """What is compiled."""
    for header in sorted(Path("proxy").rglob("*.pxd")):
        written = header.with_suffix(".pyx")
        source = written if written.exists() else header.with_suffix(".py")
        name = ".".join(header.with_suffix("").parts)
        yield Extension(name, [str(source)], extra_compile_args=FLAGS, extra_link_args=MORE)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Build(build_ext):
    """All or none, and one line about it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.inplace:  # where pip would begin anew in a temporary folder each time
            self.build_lib = self.build_temp = f"build/in-place{TAG}"

    def run(self) -> None:
        began = time.time_ns()
        inplace = self.inplace
        stamps = [Path(self.build_lib) / STAMP, *([STAMP] if inplace else [])]
        self.force = self.force or made_otherwise(stamps[-1])
        for stamp in stamps:
            stamp.unlink(missing_ok=True)  # from here on nobody loads what changes meanwhile
        try:
            self._compile()
            said = [" ".join(["compiled", *MORE]), *(ext.name for ext in self.extensions), *HEADERS]
        except NotCompiledError as reason:
            if os.getenv("SPANGATE_PURE") == "0":
                raise CompileError(f"spangate: not compiled: {reason}") from None
            said = [f"not compiled: {reason}"]
            print(f"spangate: {said[0]}; it runs as plain Python", file=sys.stderr)
        self.inplace = inplace  # which a failure leaves changed
        self._forget(set() if len(said) == 1 and not inplace else self._files())
        for stamp in stamps:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text("".join(f"{line}\n" for line in said))
            os.utime(stamp, ns=(began, began))  # a source that is saved meanwhile is newer

    def build_extensions(self) -> None:
        """Called by super().run() when it has chosen a compiler."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("#include <Python.h>\n")
            try:
                self.compiler.compile([str(source)], output_dir=folder)
            except FAILURES:
                name = self.compiler.compiler_so[0]
                raise NotCompiledError(f"no C compiler ({name} does not work)") from None
        self._translate()
        super().build_extensions()

    def _compile(self) -> None:
        if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
            raise NotCompiledError("only for CPython with its lock")
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise NotCompiledError("no Python.h (on Debian: apt install python3-dev)")
        try:
            super().run()
        except FAILURES as error:
            raise NotCompiledError(f"the C compiler failed: {error}") from None

    def _translate(self) -> None:
        """Have Cython write C of what has changed."""
        try:
            from Cython import __version__ as version
            from Cython.Build import cythonize
            from Cython.Compiler.Errors import CompileError as TranslationError
        except ImportError:
            raise NotCompiledError("no Cython") from None
        try:
            translated = cythonize(
                list(self.extensions),
                compiler_directives=DIRECTIVES,
                build_dir=f"build/cython-{version}",
                force=self.force,
                nthreads=cores(),
                quiet=True,
                emit_linenums=False,
            )
        except TranslationError as error:
            raise NotCompiledError(f"Cython refused {error or 'a source'}") from None
        made = {ext.name: ext for ext in translated}
        for ext in self.extensions:
            ext.sources = made[ext.name].sources
            ext.depends = [path for path in made[ext.name].depends if Path(path).exists()]

    def _files(self) -> set[str]:
        return {self.get_ext_filename(ext.name) for ext in self.extensions}

    def _forget(self, kept: set[str]) -> None:
        """Delete this interpreter's modules of earlier builds."""
        for root in {Path(self.build_lib), Path() if self.inplace else Path(self.build_lib)}:
            for module in (root / "proxy").rglob(f"*{SUFFIX}"):
                if str(module.relative_to(root)) not in kept:
                    module.unlink()


def made_otherwise(stamp: Path) -> bool:
    """Whether what is there was made by other flags or by an older setup.py."""
    try:
        flags = stamp.read_text().partition("\n")[0].split()[1:]
        return flags != MORE or stamp.stat().st_mtime < Path("setup.py").stat().st_mtime
    except OSError:
        return False


if __name__ == "__main__":  # Cython's helpers may import this file
    setup(
        ext_modules=[] if os.getenv("SPANGATE_PURE") == "1" else list(extensions()),
        cmdclass={"build_ext": Build},
        options={"build_ext": {"parallel": cores()}},
    )
