"""What somebody does who has installed the wheel, in an empty folder: `python installed.py`.

Whoever knows what the wheel holds says so: `python installed.py compiled`, or `plain`.

It is started by the interpreter of a clean environment (.ci/packages), so that nothing but the
wheel and what it asks for can be imported; pytest is not there either.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SPANGATE = str(Path(sys.executable).with_name("spangate"))
MODULE = [sys.executable, "-m", "spangate"]
# The kernel chooses all three.
ENVIRON = {**os.environ, "PORT": "0", "HTTPS_PORT": "0", "ADMIN_PORT": "0"}


def answer(*command: str) -> str:
    """What a command prints; it must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def running(*command: str) -> Iterator[IO[str]]:
    """The output of a command that is ended by TERM, which it must obey with exit code 0."""
    process = subprocess.Popen(
        command, env=ENVIRON, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.stdout.read()  # to the end, so that nobody waits to write
        code = process.wait()
    assert code == 0, f"{command} exited with {code}"


def find(output: IO[str], pattern: str) -> re.Match[str]:
    """The first line that has it; .ci/packages bounds the time."""
    seen = []
    for line in output:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern} is not in {''.join(seen)}")


def get(port: str, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return str(response.read().decode())


def version() -> None:
    for command in ([SPANGATE, "--version"], [*MODULE, "--version"]):
        assert re.fullmatch(r"spangate \d+\.\d+\.\d+\n", answer(*command))
    build = " ".join(sys.argv[1:]) or "(compiled|plain)"
    told = answer(SPANGATE, "version")
    assert re.match(rf"spangate \d+\.\d+\.\d+ \({build}\b", told), told
    package = importlib.resources.files("proxy")
    for name in ("py.typed", "admin/ui/index.html", "admin/ui/lib/ui.js", "admin/ui/LICENSES.txt"):
        assert package.joinpath(name).is_file(), name


def example() -> None:
    Path("routes.toml").write_text(answer(SPANGATE, "example"))
    assert answer(SPANGATE, "check", "--strict").startswith("ok: ")


def run() -> None:
    with running(SPANGATE, "run") as output:
        port = find(output, r"ready: http on [^ ,]*:(\d+)")[1]
        assert get(port, "/").startswith("Spangate is running")
        find(output, r"^trace [0-9a-f]{32}  1 span ")


def demo() -> None:
    Path("routes.toml").unlink()
    for command in ([SPANGATE, "demo"], [sys.executable, "-m", "proxy.demo"]):
        with running(*command) as output:
            port = find(output, r"gateway +http://localhost:(\d+)")[1]
            assert "received" in get(port, "/shop/orders/42")
            find(output, r"^trace [0-9a-f]{32}  6 spans ")


def main() -> None:
    assert not any(Path().iterdir()), "start it in an empty folder"
    for step in (version, example, run, demo):
        begin = time.monotonic()
        step()
        print(f"   {step.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
