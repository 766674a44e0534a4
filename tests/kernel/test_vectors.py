"""vectors.h: SSE2, NEON and neither say the same. arm64 needs a cross compiler and qemu-user."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("vectors.c")
HEADERS = Path(__file__).parents[2] / "proxy/kernel"
ARM = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
CHECKED = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"


def answer(folder: Path, compiler: str, flags: str, *runner: str) -> str:
    """What the program prints; it must compile without a warning."""
    program = folder / "vectors"
    command = [compiler, *f"-O1 -Wall -Werror {flags}".split(), f"-I{HEADERS}", str(SOURCE)]
    subprocess.run([*command, "-o", str(program)], check=True)
    done = subprocess.run([*runner, str(program)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler")
    if not (HEADERS / "vectors.h").exists():
        pytest.skip("an installed package has no sources of C")
    said = answer(tmp_path_factory.mktemp("scalar"), "cc", "-DSPANGATE_SCALAR")
    assert said.endswith(" 0\n")
    return said


@pytest.mark.parametrize("flags", ["", "-O3", "-O0", CHECKED])
def test_vectors_of_this_machine(tmp_path: Path, plain: str, flags: str) -> None:
    if flags == CHECKED and platform.libc_ver()[0] != "glibc":
        pytest.skip("sanitizers are glibc's")
    assert answer(tmp_path, "cc", flags) == plain


def test_vectors_of_arm64(tmp_path: Path, plain: str) -> None:
    if not all(map(shutil.which, ARM)):
        pytest.skip("needs gcc-aarch64-linux-gnu and qemu-user")
    assert answer(tmp_path, ARM[0], "-static", ARM[1]) == plain
