"""What callgrind wrote, and how it is told to: profiles as counters of (object, function).

Only self cost is kept: what a function's callees cost is theirs. Objects are named by the last
parts of their path without what compilers add: `proxy/kernel/scan`, `uvloop/loop`, `libc`.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

Profile = Counter[tuple[str, str]]
LEAST = 0.002  # share of the total below which a line is left out


def control(what: str, pid: int) -> None:
    """`callgrind_control` for one process; SystemExit if it refuses."""
    done = subprocess.run(
        ["callgrind_control", what, str(pid)], capture_output=True, text=True, check=False
    )
    if done.returncode or "Error" in done.stdout + done.stderr:
        raise SystemExit(f"callgrind_control {what}: {done.stdout}{done.stderr}")


def total(path: Path) -> int:
    """Instructions of one dump."""
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def profile(path: Path) -> Profile:
    """Self cost of each function of one dump (Callgrind Format Specification: names are written
    once and then only numbered, and the line after `calls=` is the callee's cost)."""
    found: Profile = Counter()
    names: dict[str, dict[str, str]] = {"ob": {}, "fn": {}}
    here = {"ob": "", "fn": ""}
    callee = False
    for line in path.read_text(errors="replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and key.isalpha():
            if key in ("cob", "cfn"):
                _named(names[key[1:]], value)
            elif key in here:
                here[key] = _named(names[key], value)
            callee = key == "calls"
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not callee:
                found[short(here["ob"]), here["fn"]] += int(line.split()[1])
            callee = False
    return found


def _named(names: dict[str, str], value: str) -> str:
    number, _, name = value.partition(" ")
    if name:
        names[number] = name
    return names.get(number, value)


def short(path: str) -> str:
    """The name of a shared object: package and module, or the library without its version."""
    parts = path.split("/")
    name = re.sub(r"\.(cpython-[\w-]+\.so|so)[.\d]*$", "", parts[-1]) or "?"
    if "cpython-" not in parts[-1]:
        return name
    packages = [p for p in parts[:-1] if p.isidentifier()]
    if "proxy" in packages:
        return "/".join([*packages[len(packages) - 1 - packages[::-1].index("proxy") :], name])
    return "/".join([*packages[-1:], name])


def objects(found: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Self cost by shared object."""
    sums: dict[str, float] = {}
    for (where, _), cost in found.items():
        sums[where] = sums.get(where, 0.0) + cost
    return sums


def lines(sums: Mapping[str, float]) -> list[str]:
    """Aligned, dearest first, what is too small left out; the first line is the sum."""
    whole = sum(sums.values())
    rows = [("all", whole), *sorted(sums.items(), key=lambda pair: -pair[1])]
    return [
        f"{cost:>12,.0f} {cost / whole:>6.1%}  {name}"
        for name, cost in rows
        if cost >= whole * LEAST
    ]
