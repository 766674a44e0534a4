"""From rounds to a table: medians, ratios, JSON, and the part of docs/performance.md that is made.

Pure but for `save` and the few facts of the machine it asks for.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import load, peers, workload
from proxy import WHY_PLAIN

if TYPE_CHECKING:
    from benchmarks.run import Round

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN = "<!-- benchmarks.{} writes below -->"
END = "<!-- benchmarks.{} writes above -->"

MEDIANS = (
    *("rate", "cpu", "busy", "p50", "p99", "rss", "pss", "server", "client", "logs"),
    *("worker", "hub", "collector"),
)
OURS = ("spangate", "spangate-10", "spangate-100", "spangate-all")

# (figure, numerator, denominator, bound)
BUDGETS = (
    ("100 % traced / nginx untraced", "spangate-100", "nginx", 1.5),
    ("100 % traced / Envoy traced", "spangate-100", "envoy-traced", 0.3),
    ("100 % traced / Traefik traced", "spangate-100", "traefik-traced", 0.2),
    ("100 % traced / Caddy traced", "spangate-100", "caddy-traced", 0.2),
    ("traced, metrics, logs / Traefik traced, metrics", "spangate-all", "traefik-all", 0.5),
    ("100 % traced / untraced", "spangate-100", "spangate", 1.12),
    ("10 % traced / untraced", "spangate-10", "spangate", 1.04),
)


def result(rounds: Sequence[Round], notes: Sequence[str], seconds: float) -> dict[str, Any]:
    """Everything that is worth keeping of a run, ready for JSON."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "workload": {
            "request_bytes": len(workload.request("0" * 32)),
            "request_fields": len(workload.FIELDS) + 1,
            "response_bytes": len(workload.BODY),
            "response_fields": workload.RESPONSE_FIELDS,
            "connections": load.CONNECTIONS,
            "seconds": seconds,
        },
        "notes": list(notes),
        "medians": medians(rounds),
        "rounds": [asdict(one) for one in rounds],
    }


def medians(rounds: Iterable[Round]) -> dict[str, dict[str, Any]]:
    """For each proxy, in the order of the first round: the median of each figure."""
    grouped: dict[str, list[Round]] = {}
    for one in rounds:
        grouped.setdefault(one.target, []).append(one)
    found: dict[str, dict[str, Any]] = {}
    for name, group in grouped.items():
        cpus = [one.cpu for one in group]
        found[name] = {
            **{key: statistics.median(getattr(one, key) for one in group) for key in MEDIANS},
            "cpu_low": min(cpus),
            "cpu_high": max(cpus),
            "errors": sum(one.errors for one in group),
            "lossy": sum(one.lossy for one in group),
            "rounds": len(group),
        }
    return found


def ratio(found: Mapping[str, Mapping[str, Any]], above: str, below: str) -> float | None:
    """CPU per request of one against another; None if either was not measured."""
    if above not in found or below not in found or not found[below]["cpu"]:
        return None
    return float(found[above]["cpu"] / found[below]["cpu"])


def rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The table's cells, header first."""
    table = [
        [
            *("proxy", "requests/s", "µs CPU / request", "(range)", "× nginx", "p50 ms", "p99 ms"),
            *("RSS MB", "PSS MB", "spans / request", "logs / request"),
        ]
    ]
    for name, m in found.items():
        against = ratio(found, name, "nginx")
        spans = f"{m['server']:.2f} + {m['client']:.2f}" if m["server"] or m["client"] else "–"
        table.append(
            [
                name,
                f"{m['rate']:,.0f}",
                f"{m['cpu'] * 1e6:.1f}",
                f"{m['cpu_low'] * 1e6:.0f}–{m['cpu_high'] * 1e6:.0f}",
                f"{against:.2f}" if against else "–",
                f"{m['p50'] * 1e3:.2f}",
                f"{m['p99'] * 1e3:.2f}",
                f"{m['rss'] / 1e6:.0f}",
                f"{m['pss'] / 1e6:.0f}",
                spans + (" LOSSY" if m["lossy"] else "") + (" ERRORS" if m["errors"] else ""),
                f"{m['logs']:.2f}" if m["logs"] else "–",
            ]
        )
    return table


def share_rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Which of our processes the CPU of a request was used by; the header alone without them."""
    table = [["µs CPU / request", "worker", "hub", "collector"]]
    for name, m in found.items():
        if m.get("worker"):
            shares = (m[role] * 1e6 for role in ("worker", "hub", "collector"))
            table.append([name, *(f"{share:.2f}" for share in shares)])
    return table


def budget_rows(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Our ratios against what they must not exceed."""
    table = [["CPU per request", "measured", "budget", ""]]
    for title, above, below, bound in BUDGETS:
        value = ratio(found, above, below)
        if value is not None:
            verdict = "met" if value <= bound else "missed"
            table.append([title, f"{value:.2f}", f"≤ {bound:g}", verdict])
    return table


def terminal(made: Mapping[str, Any]) -> str:
    """Both tables as aligned text."""
    parts = [_aligned(rows(made["medians"]))]
    parts += [_aligned(table) for table in _small_tables(made["medians"])]
    parts += made["notes"]
    return "\n\n".join(parts)


def markdown(made: Mapping[str, Any]) -> str:
    """What goes between the markers of the page."""
    m, w = made["machine"], made["workload"]
    rounds = max((v["rounds"] for v in made["medians"].values()), default=0)
    versions_line = ", ".join(f"{k} {v}" for k, v in made["versions"].items() if v)
    parts = [
        f"Measured {made['date'][:10]} at commit {made['commit']} on {m['cpu']}, "
        f"{m['cores']} cores, Linux {m['kernel']}; medians of {rounds} interleaved rounds "
        f"of {w['seconds']:g} s.",
        f"Versions: {versions_line}.",
        _markdown_table(rows(made["medians"])),
    ]
    parts += [_markdown_table(table) for table in _small_tables(made["medians"])]
    parts += [f"Note: {note.splitlines()[0][:200]}." for note in made["notes"]]
    return "\n\n".join(parts)


def _small_tables(found: Mapping[str, Mapping[str, Any]]) -> list[list[list[str]]]:
    """Those that have more than a header."""
    return [table for table in (share_rows(found), budget_rows(found)) if len(table) > 1]


def between(page: str, text: str, name: str = "run") -> str:
    """`page` with the text between its markers replaced; missing markers are appended."""
    begin, end = BEGIN.format(name), END.format(name)
    if begin not in page or end not in page:
        page = page.rstrip() + f"\n\n{begin}\n{end}\n"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def put(name: str, table: str, rounds: int = 0) -> None:
    """Write what `benchmarks.<name>` found into its place in docs/performance.md."""
    how = f"the sources as they are ({WHY_PLAIN})" if WHY_PLAIN else "compiled"
    said = f"Measured {datetime.date.today()} at commit {commit()}, {how}"
    said += f"; medians of {rounds} interleaved rounds" if rounds else ""
    PAGE.write_text(between(PAGE.read_text(), f"{said}.\n\n{table}", name))


def save(made: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write the JSON and the page; returns both paths."""
    path = write_json(made, str(made["commit"]))
    page = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    PAGE.write_text(between(page, markdown(made)))
    return path, PAGE


def write_json(made: Mapping[str, Any], short: str) -> Path:
    """benchmarks/results/<date>-<short>.json, never over an older one."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.date.today().isoformat()}-{short.rstrip('+')}"
    path = RESULTS / f"{stem}.json"
    number = 2
    while path.exists():
        path = RESULTS / f"{stem}-{number}.json"
        number += 1
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in info if line.startswith("model name")), "?")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Of everything that is measured or measures."""
    found = {product: peers.version(product) for product in peers.VERSION_COMMANDS}
    found["python"] = f"{platform.python_version()} ({interpreter()})"
    for package in ("uvloop", "httptools", "grpcio", "protobuf"):
        found[package] = importlib.metadata.version(package)
    return found


def interpreter() -> str:
    """How Python was linked; see "The interpreter" in docs/performance.md."""
    maps = Path("/proc/self/maps").read_text()
    return "shared libpython" if "libpython3" in maps else "static"


def commit() -> str:
    """Short name of the commit that is checked out, with "+" if the package was changed since."""
    return _git("rev-parse", "--short", "HEAD") + (
        "+" if _git("diff", "--name-only", "HEAD", "--", "proxy") else ""
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]])


def _markdown_table(table: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in table]
    rule = "|" + "|".join("---" if i == 0 else "---:" for i in range(len(table[0]))) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
