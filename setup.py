"""Builds what is compiled: each module of proxy/ that has a `.pxd` beside it.

The source is the `.pyx` where there is one (in proxy/kernel/, whose `.py` is its twin in Python),
and else the same `.py` that runs where nothing is compiled. Everything else about the package is
in pyproject.toml.

The modules of one package are linked into one shared object, `proxy/http/compiled.*.so`: one for
each would cost a worker pages of data of its own, and the build a linker's run (decision 134).
`proxy/plain.py` finds modules in it.

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

import fcntl
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError
from setuptools.modified import newer_group

os.chdir(Path(__file__).resolve().parent)
SUFFIX = EXTENSION_SUFFIXES[0]  # ".cpython-311-x86_64-linux-gnu.so"
TAG = SUFFIX.removesuffix(".so")
STAMP = Path("proxy", "kernel", f"built{TAG}.txt")
TOGETHER = "compiled"  # in each package, as proxy/plain.py has it
FAILURES = (BaseError, CCompilerError)
MORE = os.getenv("SPANGATE_CFLAGS", "").split()
KERNEL = ["-O2"]
# What was Python mostly calls into Python: -O2 would save 1 % of a request's instructions there,
# and take half as long again of a first `make run`. clang takes these too, and does without some.
OTHERS = [
    "-O1",
    "-fcaller-saves",
    "-fexpensive-optimizations",
    "-finline-small-functions",
    "-foptimize-sibling-calls",
    "-freorder-blocks",
    "-fschedule-insns2",
    "-ftree-vrp",
    "-Wno-ignored-optimization-argument",
]
FLAGS = ["-g0", "-fno-plt", "-Wno-unused-function", *MORE]
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


class Package(Extension):
    """The compiled modules of one package, in one shared object."""

    def __init__(self, name: str, members: list[Extension]) -> None:
        sources = [source for member in members for source in member.sources]
        super().__init__(f"{name}.{TOGETHER}", sources, extra_link_args=MORE)
        self.members = members


def packages() -> Iterator[Package]:
    """What is compiled."""
    found: dict[str, list[Extension]] = {}
    for header in sorted(Path("proxy").rglob("*.pxd")):
        found.setdefault(".".join(header.parent.parts), []).append(module(header))
    for name, members in found.items():
        yield Package(name, members)


def module(header: Path) -> Extension:
    written = header.with_suffix(".pyx")
    source = written if written.exists() else header.with_suffix(".py")
    level = KERNEL if written.exists() else OTHERS
    name = ".".join(header.with_suffix("").parts)
    return Extension(name, [str(source)], extra_compile_args=[*level, *FLAGS])


@contextmanager
def alone() -> Iterator[None]:
    """Wait for another build of this folder: `make run` leaves one running."""
    Path("build").mkdir(exist_ok=True)
    with Path("build", "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Build(build_ext):
    """All or none, and one line about it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.inplace:  # where pip would begin anew in a temporary folder each time
            self.build_lib = self.build_temp = f"build/in-place{TAG}"

    def run(self) -> None:
        with alone():
            self._run()

    def _run(self) -> None:
        began = time.time_ns()
        inplace = self.inplace
        stamps = [Path(self.build_lib) / STAMP, *([STAMP] if inplace else [])]
        self.force = self.force or made_otherwise(stamps[-1])
        for stamp in stamps:
            stamp.unlink(missing_ok=True)  # from here on nobody loads what changes meanwhile
        try:
            self._compile()
            names = [module.name for module in self._modules()]
            said = [" ".join(["compiled", *MORE]), *names, *HEADERS]
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
        self._compile_each()
        super().build_extensions()

    def build_extension(self, ext: Package) -> None:
        """Link what is in one shared object, anew each time: it may be a module less."""
        path = self.get_ext_fullpath(ext.name)
        Path(path).unlink(missing_ok=True)
        self.compiler.link_shared_object(
            [self._object(module) for module in ext.members],
            path,
            libraries=self.get_libraries(ext),
            extra_postargs=ext.extra_link_args,
            debug=self.debug,
            build_temp=self.build_temp,
        )

    def _modules(self) -> list[Extension]:
        return [module for ext in self.extensions for module in ext.members]

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
                self._modules(),
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
        for module in self._modules():
            module.sources = made[module.name].sources
            module.depends = [path for path in made[module.name].depends if Path(path).exists()]

    def _compile_each(self) -> None:
        """Compile what has changed, the longest first: else one core may end alone with it."""
        longest_first = sorted(self._modules(), key=lambda m: -Path(m.sources[0]).stat().st_size)
        with ThreadPoolExecutor(cores()) as pool:
            tasks = [pool.submit(self._compile_one, module) for module in longest_first]
            try:
                for task in tasks:
                    task.result()
            except FAILURES:
                pool.shutdown(cancel_futures=True)
                raise

    def _compile_one(self, module: Extension) -> None:
        if self.force or newer_group([*module.sources, *module.depends], self._object(module)):
            self.compiler.compile(
                module.sources,
                output_dir=self.build_temp,
                debug=self.debug,
                extra_postargs=module.extra_compile_args,
                depends=module.depends,
            )

    def _object(self, module: Extension) -> str:
        return self.compiler.object_filenames(module.sources, output_dir=self.build_temp)[0]

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
        ext_modules=[] if os.getenv("SPANGATE_PURE") == "1" else list(packages()),
        cmdclass={"build_ext": Build},
    )
