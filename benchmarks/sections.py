"""Where the instructions of a traced request go, section by section.

    python -m benchmarks.sections [--write NAME]

Works for interpreted and for compiled code, for it looks into neither: the public function of each
section is called alone, in a loop, under callgrind (`section_calls`), and so is a whole exchange
over stubs in the place of sockets. What the sections leave of that exchange is the story: its
coroutine, its objects, and the way between the sections. What the whole exchange leaves of a
request to the real worker (`instructions`) is the event loop with uvloop, libc and the sockets'
objects. `--write NAME` puts the figures into benchmarks/results/sections.json under that name; the
table, also that in docs/performance.md, compares all names that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import callgrind, instructions, proc, report
from proxy import WHY_PLAIN

RESULTS = report.RESULTS / "sections.json"
RECORDED = "metrics, spans, ring"
WHOLE, LOOP, REST = "whole exchange, no sockets", "event loop, uvloop, libc", "story and the rest"


def inside(directory: Path) -> dict[str, float]:
    """Instructions of each call in `section_calls`, without those of an empty one."""
    command = [
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        f"--callgrind-out-file={directory}/callgrind",
        f"--log-file={directory}/valgrind",
        *(sys.executable, "-m", "benchmarks.section_calls"),
    ]
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    found: dict[str, float] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "begin":
                callgrind.control("--instr=on", process.pid)
                callgrind.control("--zero", process.pid)
            elif word == "end":
                number, _, name = rest.partition(" ")
                found[name] = _taken(directory, process.pid) / int(number)
                callgrind.control("--instr=off", process.pid)
            else:
                print(line.rstrip(), file=sys.stderr)
                continue
            process.stdin.write("\n")
            process.stdin.flush()
    empty = found.pop("empty", 0.0)
    found = {name: cost - empty for name, cost in found.items()}
    found[WHOLE] -= found.pop("driver")
    if RECORDED in found and "metrics" in found:  # one is in the other
        found["spans"] = found.pop(RECORDED) - found["metrics"] - found.get("ring", 0.0)
    return found


def _taken(directory: Path, pid: int) -> int:
    before = set(directory.glob("callgrind*"))
    callgrind.control("--dump", pid)
    return sum(callgrind.total(path) for path in set(directory.glob("callgrind*")) - before)


def sections(found: Mapping[str, float], worker: float) -> dict[str, float]:
    """All sections of a request: those that were called alone, and what they leave."""
    alone = {name: cost for name, cost in found.items() if name != WHOLE}
    whole = found[WHOLE]
    return {
        LOOP: worker - whole,
        **alone,
        REST: whole - sum(alone.values()),
        "a request": worker,
    }


def table(kept: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a row for each section, a column for each name, and the last over the first."""
    names = list(kept)
    rows = list(dict.fromkeys(row for name in names for row in kept[name]))
    rows.sort(key=lambda row: row == "a request")
    lines = [
        "| section | " + " | ".join(names) + " | ratio |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    for row in rows:
        values = [kept[name].get(row) for name in names]
        first, last = values[0], values[-1]
        ratio = f"{last / first:.2f}" if first and last is not None and len(values) > 1 else ""
        cells = [f"{value:,.0f}" if value is not None else "–" for value in values]
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {ratio} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sections", description=__doc__)
    parser.add_argument("--write", default="", help="keep the figures under this name")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    with tempfile.TemporaryDirectory(prefix="spangate-sections-") as directory:
        found = inside(Path(directory))
    worker = sum(instructions.run(["traced"])["traced"].values())
    kept: dict[str, dict[str, float]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    name = options.write or f"{report.commit()}, {'plain' if WHY_PLAIN else 'compiled'}"
    kept[name] = {row: round(cost) for row, cost in sections(found, worker).items()}
    if options.write:
        RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        report.put("sections", table(kept))
    print(table(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
