"""Who is measured and how each is started: one row for each proxy and mode.

The configurations are in `peers/`, as their own users would write them, with @NAMES@ filled in
here; what stands between "BEGIN traced" and "END traced" goes away for an untraced run, and what
stands between "BEGIN metrics" and "END metrics" is for the modes called "-all". Every
proxy has one worker, keeps connections to the backend, and writes no access log.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
ENTRY = BIN / "spangate"

# The OpenTelemetry SDK of Go drops spans beyond a queue of 2,048, a tenth of a second of these
# rates, and its five seconds of delay would carry a round's spans into the next one.
GO = {
    "GOMAXPROCS": "1",
    "OTEL_BSP_MAX_QUEUE_SIZE": "262144",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A proxy in one mode. `server` and `client`: spans per request it should export."""

    name: str
    product: str
    files: Mapping[str, str]  # file in the run's directory -> template in peers/
    command: Sequence[str]  # with @DIR@ and @PORT@ filled in as in the templates
    server: float = 0.0
    client: float = 0.0
    logs: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)
    telemetry: str = ""  # Spangate's: the tables that differ between its modes
    edits: Mapping[str, str] = field(default_factory=dict)  # of the templates' text, before filling

    @property
    def traced(self) -> bool:
        return self.server > 0


def _spangate(name: str, share: float, telemetry: str, logs: float = 0.0) -> Target:
    return Target(
        name=name,
        product="spangate",
        files={f"{name}.toml": "spangate.toml"},
        command=(str(ENTRY), "run", f"@DIR@/{name}.toml", "--workers", "1"),
        server=share,
        client=share,
        logs=logs,
        telemetry=telemetry,
    )


EXPORT = '[export]\notlp = "http://127.0.0.1:@SINK@"\nsignals = [{signals}]\n'

TARGETS = (
    Target("nginx", "nginx", {"nginx.conf": "nginx.conf"}, ("nginx", "-c", "@DIR@/nginx.conf")),
    Target(
        "haproxy",
        "haproxy",
        {"haproxy.cfg": "haproxy.cfg"},
        ("haproxy", "-db", "-f", "@DIR@/haproxy.cfg"),
    ),
    *(
        Target(
            name,
            "envoy",
            {f"{name}.yaml": "envoy.yaml"},
            (
                *("envoy", "-c", f"@DIR@/{name}.yaml", "--concurrency", "1"),
                *("-l", "warn", "--disable-hot-restart"),
            ),
            server=spans,
            client=spans,
        )
        for name, spans in (("envoy", 0.0), ("envoy-traced", 1.0))
    ),
    *(
        Target(
            name,
            "traefik",
            {f"{name}.yaml": "traefik.yaml", "routes.yaml": "traefik-routes.yaml"},
            ("traefik", f"--configFile=@DIR@/{name}.yaml"),
            server=spans,
            client=spans,
            env=GO,
        )
        for name, spans in (("traefik", 0.0), ("traefik-traced", 1.0), ("traefik-all", 1.0))
    ),
    *(
        Target(
            name,
            "caddy",
            {f"{name}.caddy": "Caddyfile"},
            ("caddy", "run", "--adapter", "caddyfile", "--config", f"@DIR@/{name}.caddy"),
            server=spans,
            env={
                **GO,
                "OTEL_SERVICE_NAME": name,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:@SINK@",
            },
        )
        for name, spans in (("caddy", 0.0), ("caddy-traced", 1.0))
    ),
    Target(
        "aiohttp",
        "aiohttp",
        {},
        (sys.executable, "-m", "benchmarks.aiohttp_proxy", "@PORT@", "@BACKEND@"),
    ),
    _spangate("spangate", 0.0, '[tracing]\nsampler = "never"\n'),
    _spangate(
        "spangate-10",
        0.1,
        '[tracing]\nsampler = "ratio"\nsample = 0.1\n\n' + EXPORT.format(signals='"traces"'),
    ),
    _spangate("spangate-100", 1.0, EXPORT.format(signals='"traces"')),
    _spangate("spangate-all", 1.0, EXPORT.format(signals='"traces", "metrics", "logs"'), logs=1.0),
)


def missing(target: Target) -> str:
    """Why `target` cannot be started here; "" if it can."""
    program = find(target.command[0])
    return "" if program else f"{target.command[0]} is not installed"


def find(program: str) -> str | None:
    """The program beside this interpreter, or on the path."""
    beside = BIN / program
    return str(beside) if beside.exists() else shutil.which(program)


def prepare(target: Target, values: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Write the target's configuration; returns its command and environment."""
    values = {**values, "NAME": target.name}
    values["TELEMETRY"] = fill(target.telemetry, values)
    for name, template in target.files.items():
        text = (HERE / "peers" / template).read_text()
        if not target.traced:
            text = _without("traced", text)
        if not target.name.endswith("-all"):
            text = _without("metrics", text)
        for old, new in target.edits.items():
            if old not in text:
                raise KeyError(f"{template} has no {old!r}")
            text = text.replace(old, new)
        Path(values["DIR"], name).write_text(fill(text, values))
    command = [fill(part, values) for part in target.command]
    command[0] = find(command[0]) or command[0]
    return command, {key: fill(text, values) for key, text in target.env.items()}


def _without(part: str, text: str) -> str:
    return re.sub(rf"(?m)^\s*# BEGIN {part}\n(?s:.*?)# END {part}\n", "", text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each @NAME@ replaced; KeyError names one that is not known."""
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text)


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


VERSION_COMMANDS = {
    "nginx": ("nginx", "-v"),
    "haproxy": ("haproxy", "-v"),
    "envoy": ("envoy", "--version"),
    "traefik": ("traefik", "version"),
    "caddy": ("caddy", "version"),
    "aiohttp": (sys.executable, "-c", "import aiohttp; print(aiohttp.__version__)"),
    "spangate": (sys.executable, "-c", "import proxy; print(proxy.__version__)"),
    "wrk": ("wrk", "-v"),
}


def version(product: str) -> str:
    """The first version number that the product prints about itself; "" if it is missing."""
    command = VERSION_COMMANDS[product]
    program = find(command[0])
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    found = re.search(r"(?<![\w.])v?(\d+\.\d+(\.\d+)?[\w.+-]*)", done.stdout + done.stderr)
    if product == "envoy":
        found = re.search(r"/(\d+\.\d+\.\d+)/", done.stdout)
    return found[1] if found else "?"
