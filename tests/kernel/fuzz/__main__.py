"""Fuzzes the kernel's ways in with libFuzzer: clang, AddressSanitizer, UndefinedBehaviorSanitizer.

    python -m tests.kernel.fuzz [--runs 100000] [--seconds 0] [--jobs 1] [TARGET...]

A copy of the project in build/fuzz has the kernel's modules compiled by clang for it, and the
driver; targets.py says what is done with the bytes. What was found before (build/fuzz/corpus) is
where the next run begins. Ends with 1 if anything was found: the input is then in build/fuzz too,
and `build/fuzz/driver FILE` with FUZZ_TARGET set repeats it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from tests.kernel.fuzz.seeds import WORDS, seeds

ROOT = Path(__file__).parents[3]
HOME = ROOT / "build/fuzz"
DRIVER = HOME / "driver"
SOURCES = (".py", ".pyx", ".pxd", ".h")
CHECKED = "address,undefined,float-cast-overflow"
TARGETS = ("request", "response", "body", "trace", "record", "path", "protobuf", "spans", "json")
LONGEST = {
    "request": 1500,
    "response": 1500,
    "body": 1500,
    "json": 1000,
    "protobuf": 1000,
    "spans": 1000,
}


def copy() -> None:
    """What is compiled for it: the kernel. The rest runs from its sources."""
    for folder in ("proxy", "tests"):
        for path in (HOME / folder).rglob("*"):
            if path.suffix in SOURCES and not (ROOT / path.relative_to(HOME)).exists():
                path.unlink()
    for folder in ("proxy", "tests/kernel"):
        for path in (ROOT / folder).rglob("*"):
            compiled = path.suffix == ".pxd" and path.parent.name != "kernel"
            if path.suffix in SOURCES and not compiled:
                _put(path, HOME / path.relative_to(ROOT))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "tests/__init__.py"):
        _put(ROOT / name, HOME / name)


def _put(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if not to.exists() or to.stat().st_mtime < path.stat().st_mtime:
        shutil.copy2(path, to)


def build() -> None:
    flags = f"-fsanitize=fuzzer-no-link,{CHECKED} -fno-sanitize-recover=undefined -O1 -g1"
    environ = {**os.environ, "CC": "clang", "SPANGATE_CFLAGS": flags, "SPANGATE_PURE": "0"}
    log = HOME / "build.log"
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=HOME, env=environ, stdout=output, stderr=output, check=False
        )
    if done.returncode:
        sys.exit(log.read_text())
    found = sysconfig.get_config_vars()
    source = Path(__file__).with_name("driver.c")
    libraries = [f"-L{found['LIBDIR']}", f"-L{found['LIBPL']}", f"-lpython{found['LDVERSION']}"]
    rest = f"{found['LIBS']} {found['SYSLIBS']} {found['LINKFORSHARED']}".split()
    made = [f"-I{sysconfig.get_path('include')}", "-O1", "-g1", "-rdynamic", "-o", str(DRIVER)]
    with_checks = f"-fsanitize=fuzzer,{CHECKED}"
    subprocess.run(["clang", with_checks, *made, str(source), *libraries, *rest], check=True)


def fuzz(target: str, runs: int, seconds: int, jobs: int) -> bool:
    """Whether nothing was found."""
    corpus = HOME / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = HOME / "words.txt"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
    command = [str(DRIVER), f"-max_len={LONGEST.get(target, 300)}", f"-dict={words}"]
    command += ["-detect_leaks=0", "-timeout=20", "-print_final_stats=1", "-verbosity=0"]
    command += [f"-artifact_prefix={HOME}/{target}-", f"-max_total_time={seconds}"]
    began = time.monotonic()
    share = runs // jobs or -1
    running = [
        subprocess.Popen(
            [*command, f"-runs={share}", f"-seed={began + job:.0f}", str(corpus)],
            env=environment(target),
            cwd=HOME,
            stderr=subprocess.PIPE,
            text=True,
        )
        for job in range(jobs)
    ]
    told = [process.communicate()[1] for process in running]
    done = sum(int(n) for text in told for n in re.findall(r"executed_units: (\d+)", text))
    memory = max([int(n) for text in told for n in re.findall(r"rss_mb: +(\d+)", text)] or [0])
    took = time.monotonic() - began
    inputs = len(list(corpus.iterdir()))
    print(
        f"{target}: {done:,} inputs in {took:.0f} s ({done / took:,.0f} a second), corpus of"
        f" {inputs}, {memory} MB",
        flush=True,
    )
    failed = [text for text, process in zip(told, running, strict=True) if process.returncode]
    for text in failed:
        print(text[-5000:])
    return not failed


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def environment(target: str) -> dict[str, str]:
    here = [str(HOME), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return {
        **os.environ,
        "FUZZ_TARGET": target,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(here)),
        "PYTHONMALLOC": "malloc",  # so that reading beyond an object is seen
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PATH": f"{os.environ['PATH']}{os.pathsep}/usr/lib/llvm-14/bin",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="of each target; 0 = no end")
    parser.add_argument("--seconds", type=int, default=0, help="for each target; 0 = no end")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("targets", nargs="*", default=TARGETS)
    given = parser.parse_args()
    if shutil.which("clang") is None:
        sys.exit("clang is needed (on Debian: apt install clang, and libpython3-dev)")
    copy()
    build()
    fine = [fuzz(target, given.runs, given.seconds, given.jobs) for target in given.targets]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
