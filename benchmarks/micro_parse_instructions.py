"""What receiving the workload's heads costs: instructions for each, counted by callgrind.

`python -m benchmarks.micro_parse_instructions [--top NAME]`; seconds: `micro_parse`. It starts
itself under valgrind, which writes what it counted at each call of getppid(), around each case.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import proxy
from benchmarks import workload
from benchmarks.micro_parse import ANSWER
from proxy.config.model import Limits
from proxy.http.framing import frame_request, frame_response
from proxy.http.h1 import RequestReader, ResponseReader
from proxy.http.head import RequestHead
from proxy.http.receive import check_underscores, receive
from proxy.http.target import Authorities, resolve

Call = Callable[[bytes], object]


class Rules:
    """What a snapshot says about heads."""

    __slots__ = ("limits",)

    def __init__(self) -> None:
        self.limits = Limits()

    def underscores(self, head: RequestHead) -> None:
        check_underscores("drop", head)


def cases() -> dict[str, tuple[Call, list[bytes]]]:
    """Name, call and what it is called with."""
    asked, answered, authorities = RequestReader(), ResponseReader(), Authorities()
    rules = Rules()
    requests = [workload.request(trace_id) for trace_id in workload.trace_ids()]
    answers = [ANSWER.replace(b"901", b"%d" % (900 + n % 90)) for n in range(len(requests))]
    head = asked.read(requests[0])
    answer = answered.read(ANSWER)

    def answer_in(data: bytes) -> None:
        frame_response(answered.read(data), "GET")

    return {
        "nothing": (len, requests),
        "a request received": (lambda d: receive(asked, d, rules, authorities), requests),
        "  its head read": (asked.read, requests),
        "  it is framed": (lambda _: frame_request(head), requests),
        "  its target resolved": (lambda _: resolve(head, authorities), requests),
        "an answer received": (answer_in, answers),
        "  an answer's head read": (answered.read, answers),
        "  an answer is framed": (lambda _: frame_response(answer, "GET"), answers),
        "the call of a function": (lambda _: None, requests),
    }


def inside() -> None:
    """Run each case, between two calls of getppid()."""
    for call, given in cases().values():
        for data in given[:100]:
            call(data)
        os.getppid()
        for data in given:
            call(data)
        os.getppid()


def main() -> int:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--top", default="", help="the functions of the case so named, too")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not there: nothing is counted")
        return 0
    print("compiled" if not proxy.WHY_PLAIN else f"not compiled: {proxy.WHY_PLAIN}")
    with tempfile.TemporaryDirectory() as directory:
        found = count(Path(directory))
        empty = instructions(found[0])
        for name, path in zip(cases(), found, strict=True):
            number = instructions(path) - (0 if name == "nothing" else empty)
            print(f"{name:28} {number / workload.COUNT:10,.0f}")
            if options.top and name.strip() == options.top:
                print_top(path)
    return 0


def count(directory: Path) -> list[Path]:
    """What callgrind wrote at the end of each case."""
    subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--quiet", "--dump-before=getppid"),
            f"--callgrind-out-file={directory}/count",
            *(sys.executable, "-c", f"import {__spec__.name} as m; m.inside()"),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
    )
    dumps = sorted(directory.glob("count.*"), key=lambda path: int(path.suffix[1:]))
    return dumps[1::2]


def instructions(path: Path) -> int:
    """All of one dump."""
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def print_top(path: Path) -> None:
    """The functions that a case spent most in, themselves."""
    names: dict[str, str] = {}
    spent: Counter[str] = Counter()
    here, called = "", False
    for line in path.read_text().splitlines():
        named = re.match(r"(c?fn)=(\(\d+\))(?: (.*))?", line)
        if named is not None:
            names.setdefault(named[2], named[3] or "")
            here = here if named[1] == "cfn" else named[2]
        elif line.startswith("calls="):
            called = True  # the next line is what was called
        elif re.match(r"[-+*\d]\S* \d+$", line):
            spent[here] += 0 if called else int(line.split()[1])
            called = False
    for number, count in spent.most_common(25):
        print(f"    {count / workload.COUNT:10,.0f}  {names[number]}")


if __name__ == "__main__":
    sys.exit(main())
