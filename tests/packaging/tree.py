"""A small project with the real setup.py, pyproject.toml and proxy/plain.py, to be built in tests.

It has one module of each kind that is compiled: `proxy.kernel.tiny`, a `.pyx` with its twin, and
`proxy.same`, a `.py` with a `.pxd`, which reads the other's C.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIX = EXTENSION_SUFFIXES[0]
STAMP = f"proxy/kernel/built{SUFFIX.removesuffix('.so')}.txt"
TAKEN = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "proxy/plain.py")
WRITTEN = {
    "proxy/__init__.py": "from proxy.plain import WHY_PLAIN\n__version__ = '0.1.0'\n",
    "proxy/kernel/__init__.py": "",
    "proxy/kernel/tiny.pxd": "cpdef int twice(int number)\n",
    "proxy/kernel/tiny.h": "#define TIMES 2\n",
    "proxy/kernel/tiny.pyx": 'cdef extern from "tiny.h":\n    int TIMES\n\n\n'
    "cpdef int twice(int number):\n    return TIMES * number\n",
    "proxy/kernel/tiny.py": "def twice(number):\n    return 2 * number\n",
    "proxy/same.pxd": "from proxy.kernel.tiny cimport twice\ncpdef int thrice(int number)\n",
    "proxy/same.py": "from proxy.kernel.tiny import twice\n\n\n"
    "def thrice(number):\n    return twice(number) + number\n",
}
TOLD = (
    "import proxy, proxy.same as s, proxy.kernel.tiny as t; assert s.thrice(7) == 21;"
    "print(proxy.WHY_PLAIN, *(m.__file__.rpartition('.')[2] for m in (s, t)), sep='|')"
)
COMPILED = "|so|so"


class Tree:
    """The project in a folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in TAKEN:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, home / name)
        for name, text in WRITTEN.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)

    def python(
        self,
        *arguments: str,
        cwd: Path | None = None,
        interpreter: str = sys.executable,
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        """Our interpreter in the project; it must succeed."""
        done = self.tried(*arguments, cwd=cwd, interpreter=interpreter, **env)
        assert done.returncode == 0, done.stderr + done.stdout
        return done

    def tried(
        self,
        *arguments: str,
        cwd: Path | None = None,
        interpreter: str = sys.executable,
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SPANGATE_")}
        return subprocess.run(
            [interpreter, *arguments],
            cwd=cwd or self.home,
            env={**clean, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, **env: str) -> str:
        """Build in place; returns what it says."""
        return self.python("setup.py", "-q", "build_ext", "--inplace", **env).stderr

    def wheel(self, **env: str) -> Path:
        return self._package("wheel", **env)

    def sdist(self, **env: str) -> Path:
        return self._package("sdist", **env)

    def _package(self, kind: str, **env: str) -> Path:
        """As a front end asks for it (PEP 517)."""
        code = f"from setuptools import build_meta as b; print(b.build_{kind}('dist'))"
        return self.home / "dist" / self.python("-c", code, **env).stdout.split()[-1]

    def told(self, cwd: Path | None = None, **env: str) -> str:
        """Why it runs plain, and what was loaded: COMPILED, or "reason|py|py"."""
        return self.python("-c", TOLD, cwd=cwd, **env).stdout.strip()

    def touch(self, name: str, text: str | None = None) -> None:
        """Save a file now, as it is or with other text."""
        path = self.home / name
        path.write_text(path.read_text() if text is None else text)

    def age(self) -> None:
        """Let everything have happened an hour ago."""
        for path in self.home.rglob("*"):
            info = path.stat()
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns - 3600 * 10**9))


def unpacked(archive: Path, folder: Path) -> Path:
    """What an installer makes of a wheel; or the only folder in a source archive."""
    shutil.unpack_archive(archive, folder, "zip" if archive.suffix == ".whl" else None)
    return folder if archive.suffix == ".whl" else next(folder.iterdir())
