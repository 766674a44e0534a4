"""What each feature costs a request that uses it, alone, and that it costs others nothing.

    python -m benchmarks.features [--only retry,split] [--write]

Instructions of the worker for each request (`counted`), one configuration after the other. The
first row has everything off that can be. Each further row switches one thing on, and is compared
with the row that it stands on: tracing for what only spans have, and the bare gateway for the
rest. Rows that begin with "elsewhere" configure a feature on routes and upstreams that the request
does not meet: what they cost should be nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import proc, report, workload
from benchmarks.counted import counted

NEVER = 'sampler = "never"'
TRACES = '[export]\notlp = "http://127.0.0.1:{sink}"\nsignals = ["traces"]'
LOGS = '[export]\notlp = "http://127.0.0.1:{sink}"\nsignals = ["logs"]'
BARE, TRACED = "everything off", "tracing, 100 %"


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that is switched on: lines for the tables of the configuration."""

    name: str
    top: str = ""
    tracing: str = NEVER
    export: str = ""
    access: str = "stdout = false\notlp = false"
    forwarding: str = 'x_forwarded = false\nvia = ""\nrequest_id = false'
    metrics: str = "exemplars = false"
    route: str = ""
    to: str = '"backend"'
    upstream: str = ""
    others: str = ""
    on: str = BARE  # the row it is compared with

    def text(self) -> str:
        """The configuration, with blanks for ports."""
        return f"""
listen  = "127.0.0.1:{{port}}"
workers = 1
{self.top}
[resource]
"service.name" = "features"
[admin]
listen = ""
[log]
format = "json"
[tracing]
{self.tracing}
{self.export}
[access_log]
{self.access}
[forwarding]
{self.forwarding}
[metrics]
{self.metrics}
[[route]]
name = "orders"
path = "/api/v1/orders/{{{{id}}}}"
to   = {self.to}
{self.route}
[[route]]
name = "another"
path = "/another"
to   = "backend"
{self.others}
[upstream.backend]
servers = ["http://127.0.0.1:{{backend}}"]
{self.upstream}
[upstream.spare]
servers = ["http://127.0.0.1:{{backend}}"]
"""


def _traced(name: str, tracing: str = "", metrics: str = "", top: str = "") -> Feature:
    made = Feature(name, tracing=tracing, export=TRACES, on=TRACED, top=top)
    return made if not metrics else Feature(name, export=TRACES, on=TRACED, metrics=metrics)


def _forwarding(name: str, key: str, value: str) -> Feature:
    off = {"x_forwarded": "false", "via": '""', "request_id": "false", key: value}
    return Feature(name, forwarding="\n".join(f"{k} = {v}" for k, v in off.items()))


def _elsewhere(name: str, lines: str, to: str = '"backend"') -> Feature:
    """Fifty other routes with these lines."""
    one = '[[route]]\nname = "other {n}"\npath = "/other/{n}/*"\nto = {to}\n{lines}\n'
    others = "".join(one.format(n=n, to=to, lines=lines) for n in range(50))
    return Feature(f"elsewhere: {name}", others=others)


EDITS = 'headers = {{ request = {{ set = {{ x-a = "1" }}, remove = ["origin"] }} }}'
ANSWERS = 'headers = {{ response = {{ set = {{ x-b = "2" }} }} }}'
SPLIT = "{{ backend = 90, spare = 10 }}"
WHEN = 'when = {{ header = {{ x-client-version = "~web/.*" }} }}'
HEALTH = "[upstream.backend.health]\npath = '/healthz'\nevery = '1s'"
WIDER = HEALTH.replace("backend", "wider")
WIDE = '[upstream.wider]\nservers = ["http://127.0.0.1:{backend}"]\npanic = 0.5\nretry = 2\n'
JUDGED = WIDE.replace("panic = 0.5", "eject = {{ errors = 5 }}\nbreaker = {{ failures = 0.5 }}")

FEATURES = (
    Feature(BARE),
    Feature("tracing, 10 %", tracing='sampler = "ratio"\nsample = 0.1', export=TRACES),
    Feature(TRACED, tracing="", export=TRACES),
    _traced("two request headers kept", 'request_headers = ["accept-language", "origin"]'),
    _traced("an answer's header kept", 'response_headers = ["x-request-cost"]'),
    _traced(
        "an attribute of one's own",
        top='attributes = {{ "app.client" = "header:x-client-version" }}',
    ),
    _traced("exemplars", metrics="exemplars = true"),
    _traced("B3 sent as well", 'inject = ["w3c", "b3"]'),
    _traced("the trace id in a response header", 'response_header = "x-trace-id"'),
    Feature("access lines, JSON on stdout", access="stdout = true\notlp = false"),
    Feature("access records, OTLP", access="stdout = false\notlp = true", export=LOGS),
    Feature("body sizes", metrics="exemplars = false\nbody_sizes = true"),
    _forwarding("X-Request-Id", "request_id", "true"),
    _forwarding("X-Forwarded-*", "x_forwarded", "true"),
    _forwarding("Forwarded", "forwarded", "true"),
    _forwarding("Via", "via", '"edge"'),
    Feature("request's headers edited", route=EDITS),
    Feature("answer's headers edited", route=ANSWERS),
    Feature("a rewrite", route='rewrite = {{ path = "/orders/{{id}}" }}'),
    Feature("a condition on this route", route=WHEN),
    Feature("a split by weight", to=SPLIT),
    Feature("retries", route="retry = 2"),
    Feature("retries on statuses", route="retry = {{ times = 2, on = [502, 503] }}"),
    Feature("timeouts", route='timeout = "30s"\nidle_timeout = "20s"'),
    Feature("a body limit", route='body_limit = "1MiB"'),
    Feature("health checks", upstream=HEALTH),
    Feature("ejection", upstream="eject = {{ errors = 5 }}"),
    Feature("a breaker", upstream="breaker = {{ failures = 0.5 }}"),
    Feature("panic", upstream="panic = 0.5"),
    Feature("labels", route='labels = {{ team = "shop" }}'),
    _elsewhere("nothing, 50 routes", ""),
    _elsewhere("conditions", WHEN),
    _elsewhere("headers edited", EDITS),
    _elsewhere("rewrites", 'rewrite = {{ strip = "/other" }}'),
    _elsewhere("retries, timeouts, body limits", 'retry = 2\ntimeout = "9s"\nbody_limit = "1MiB"'),
    _elsewhere("splits", "", SPLIT),
    _elsewhere("sampling", "trace = {{ sample = 0.5 }}"),
    Feature("elsewhere: ejection and a breaker of an upstream", others=JUDGED),
    Feature("elsewhere: health checks, panic, retries of an upstream", others=WIDE + WIDER),
)


def table(found: dict[str, int]) -> str:
    """Markdown; differences are those to the row that a feature stands on."""
    lines = ["| feature | instructions | more | |", "|---|---:|---:|---:|"]
    for feature in FEATURES:
        if feature.name in found:
            value, base = found[feature.name], found.get(feature.on, 0)
            more = value - base
            beside = f"{more:+,} | {more / base:+.1%}" if base and more else "|"
            lines.append(f"| {feature.name} | {value:,} | {beside} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--write", action="store_true", help="put it into docs/performance.md")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    words = options.only.split(",")
    chosen = [f for f in FEATURES if f.name in (BARE, TRACED) or any(w in f.name for w in words)]
    requests = [workload.request(trace_id) for trace_id in workload.trace_ids()]
    found: dict[str, int] = {}
    with counted(chosen[0].text()) as worker:
        for feature in chosen:
            worker.use(feature.text())  # the first one again, for all to stand on a reload
            found[feature.name] = worker.instructions(requests)
            print(f"{found[feature.name]:>10,}  {feature.name}", file=sys.stderr, flush=True)
    print(table(found))
    if options.write:
        report.put("features", table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
