"""What the store of recent traces costs and holds, and how soon it answers; see `see.py`."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from benchmarks import bed as beds
from benchmarks import peers, proc, see_spans, workload
from benchmarks.bed import Bed, Running
from benchmarks.peers import Target
from proxy.collector import registry
from proxy.collector.batch import Batch
from proxy.collector.books import Books, Shelf
from proxy.collector.context import Context
from proxy.config.load import loads
from proxy.recent.ring import Ring

MIB = 1024 * 1024
SIZE = 16  # MiB, as by default
HELD = 30_000  # spans that are searched
# What comes is thrown away, and kept in the store where there is one, as in every pipeline.
STORE = """
[recent]
size = "{mib}MiB"
[collector.receivers.otlp]
http = "127.0.0.1:{otlp}"
[collector.exporters.debug]
sampling_initial = 0
sampling_thereafter = 1000000000
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["debug"]
"""
SEARCHES: tuple[dict[str, str], ...] = (
    {},
    {"service": "payments"},
    {"route": "/api/orders/{id}"},
    {"min_ms": "100"},
    {"error": "true"},
    {"q": "orders"},
    {"q": "/api/orders/4711"},
    {"q": "in none of them"},
    {"service": "payments", "min_ms": "60", "q": "shop.example.com", "limit": "1000"},
)


def target(name: str, otlp: int, mib: int = SIZE) -> Target:
    """A gateway that stores its own spans and those that come to `otlp`."""
    return Target(
        name=name,
        product="spangate",
        files={f"{name}.toml": "spangate.toml"},
        command=(str(peers.ENTRY), "run", f"@DIR@/{name}.toml", "--workers", "1"),
        server=1.0,
        client=1.0,
        telemetry=STORE.format(mib=mib, otlp=otlp),
    )


@contextmanager
def started(mib: int = SIZE) -> Iterator[tuple[Bed, Running, int]]:
    """A bed, the gateway, the port of its OTLP receiver."""
    with beds.make() as bed:
        otlp = peers.free_port()
        proxy = bed.start(target("see-store", otlp, mib))
        proc.wait_until(lambda: proc.listens(otlp), 20, "the receiver")
        yield bed, proxy, otlp


def get(port: int, path: str) -> tuple[int, bytes]:
    """(status, body) of an answer of the admin port."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    link.request("GET", path)
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, body


@dataclass(frozen=True)
class Filled:
    """What came of sending many spans."""

    spans: int
    seconds: float
    refused: int
    cpu: float  # seconds, of hub and collector
    before: int  # bytes, RSS of hub and collector
    after: int
    peak: int

    @property
    def grown(self) -> float:
        """MiB."""
        return (self.after - self.before) / MIB


def fill(proxy: Running, otlp: int, spans: int, senders: int = 2) -> Filled:
    """Send so many spans, as fast as they are taken."""
    prepared = see_spans.requests(300)
    endless = see_spans.rounds(prepared)
    payloads = itertools.islice(endless, spans // see_spans.SPANS)
    lock, links = threading.Lock(), [see_spans.Sender(otlp) for _ in range(senders)]

    def send(link: see_spans.Sender) -> None:
        while True:
            with lock:
                payload = next(payloads, None)
            if payload is None:
                return
            link.send(payload)

    pids = [pid for pid in proc.tree(proxy.process.pid) if role(pid) != "worker"]
    before, cpu = proc.memory(pids).rss, sum(map(proc.ran, pids))
    proc.reset_peak(pids)
    begun = time.monotonic()
    threads = [threading.Thread(target=send, args=(link,)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    found = proc.memory(pids)
    used = sum(map(proc.ran, pids)) - cpu
    for link in links:
        link.close()
    refused = sum(link.refused for link in links)
    return Filled(spans, seconds, refused, used, before, found.rss, found.peak)


def role(pid: int) -> str:
    """ "worker", "collector" or "hub"."""
    words = set(proc.command(pid))
    return next((kind for module, kind in proc.ROLES.items() if module in words), "hub")


def memory(spans: int) -> list[str]:
    """Hub and collector after so many spans, beside those of a gateway that stores nothing."""
    found: dict[int, Filled] = {}
    for mib in (0, SIZE):
        with started(mib) as (_, proxy, otlp):
            fill(proxy, otlp, HELD)  # what is needed to take them is there
            time.sleep(1.0)
            found[mib] = fill(proxy, otlp, spans)
    lines = [
        f"memory, size = {mib:2} MiB: hub + collector {f.before / MIB:6.1f} MiB, after"
        f" {f.spans:,} spans {f.after / MIB:6.1f} (peak {f.peak / MIB:.1f});"
        f" {f.spans / f.seconds:,.0f} spans/s, {1e6 * f.cpu / f.spans:.2f} µs CPU a span,"
        f" {f.refused} requests refused"
        for mib, f in found.items()
    ]
    more = (found[SIZE].peak - found[0].peak) / MIB
    return [
        *lines,
        f"  more than without the store: {more:.1f} MiB at the peak (bound 16 + 4 + 20)",
    ]


def search(times: int) -> list[str]:
    """Milliseconds of each search, of the wall and of CPU (all processes), which is what a busy
    machine does not change; and the longest turn of each loop by the product's own gauge."""
    with started(24) as (_, proxy, otlp):
        fill(proxy, otlp, HELD)
        held = json.loads(get(proxy.admin, "/api/traces?limit=1&q=in+none+of+them")[1])["searched"]
        one = json.loads(get(proxy.admin, "/api/traces?limit=1")[1])["traces"][0]["trace_id"]
        paths = [f"/api/traces?{urlencode(query)}" for query in SEARCHES]
        paths += [f"/api/traces/{one}", "/api/map", "/api/doctor"]
        lines = [f"search over {held['spans']:,} spans of {held['traces']:,} traces; ms"]
        lines += [_searched(proxy, path, times) for path in paths]
        page = get(proxy.admin, "/metrics")[1].decode()
    lags = re.findall(r"^spangate_loop_lag\w*\{(.*)\} (\S+)$", page, re.MULTILINE)
    return lines + [f"  loop lag {labels}: {1e3 * float(lag):.1f} ms" for labels, lag in lags]


def _searched(proxy: Running, path: str, times: int) -> str:
    """One line of the report."""
    took: list[float] = []
    pids = proc.tree(proxy.process.pid)
    before = sum(map(proc.ran, pids))
    while len(took) < times:
        begun = time.perf_counter()
        status, body = get(proxy.admin, path)
        took.append(1e3 * (time.perf_counter() - begun))
        if status != 200:
            return f"  {path:75} {status} {body[:80].decode()}"
    cpu = 1e3 * (sum(map(proc.ran, pids)) - before) / times
    found = json.loads(body).get("traces")
    many = "" if found is None else f"  {len(found)} traces"
    wall = f"p50 {statistics.median(took):6.1f}  max {max(took):6.1f}"
    return f"  {path:75} {wall}  CPU {cpu:6.1f}{many}"


def visible(times: int, load: int = 0) -> list[str]:
    """Seconds from an answer until its trace is whole in the API: two spans of ours.

    `load` is spans that other services send meanwhile."""
    with started() as (_, proxy, otlp):
        busy = threading.Thread(target=fill, args=(proxy, otlp, load)) if load else None
        if busy is not None:
            busy.start()
        waits = [_visible(proxy, trace_id) for trace_id in workload.trace_ids()[:times]]
        if busy is not None:
            busy.join()
    beside = f" beside {load:,} spans of others" if load else ""
    return [
        f"visible{beside}: p50 {statistics.median(waits):.3f} s, max {max(waits):.3f} s"
        f" of {times} (bound 1)"
    ]


def _visible(proxy: Running, trace_id: str) -> float:
    beds.ask(proxy.port, workload.request(trace_id))
    begun = time.perf_counter()
    while time.perf_counter() < begun + 10:
        status, body = get(proxy.admin, f"/api/traces/{trace_id}")
        if status == 200 and len(json.loads(body)["spans"]) == 2:
            break
        time.sleep(0.005)
    return time.perf_counter() - begun


def cost(spans: int) -> list[str]:
    """µs of CPU a span of the exporter alone, in this process."""
    return asyncio.run(_cost(spans))


async def _cost(spans: int) -> list[str]:
    text = '[admin]\nlisten = ""\n[collector.exporters.recent]\n'
    collector = loads(text, "see.toml", {}).config.collector
    assert collector is not None
    ring = Ring(SIZE * MIB, 4 * MIB)
    context = Context(id="recent", kind="exporter", ledgers=Shelf(Books(), "recent"), recent=ring)
    component = next(c for c in registry.COMPONENTS if (c.kind, c.type) == ("exporter", "recent"))
    stage = component.factory()(collector.exporters["recent"], context)
    await stage.start()
    endless = see_spans.rounds(see_spans.requests(300))
    took: list[float] = []
    for _ in range(max(1, spans // HELD)):
        batches = [Batch("traces", p, see_spans.SPANS) for p in itertools.islice(endless, 300)]
        begun = time.thread_time()
        for batch in batches:
            if not stage.consume(batch):
                raise SystemExit("the store has refused a batch")
        took.append(1e6 * (time.thread_time() - begun) / HELD)
        await asyncio.sleep(0)
    await stage.stop(1.0)
    fastest, middle, slowest = min(took), statistics.median(took), max(took)
    return [
        f"storing: {middle:.2f} µs a span ({fastest:.2f} to {slowest:.2f}; bound 1), that is"
        f" {1e6 / middle:,.0f} spans/s (bound 100,000)"
    ]
