"""Numbers of the host: from a /proc of our own making, and from the real one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.collector.receivers.host_metrics.read import TICKS
from proxy.errors import ConfigError
from tests.collector.kit import Place, settings
from tests.collector.prometheus_samples import NOW, flat, numbers

PAGE = os.sysconf("SC_PAGE_SIZE")
FILES = {
    "stat": "cpu  10 20 30 40 50 60 70 80 9 9\n"
    "cpu0 4 20 30 40 50 60 70 80 9 9\ncpu1 6 0 0 0 0 0 0 0 0 0\nbtime 1600000000\n",
    "meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 500 kB\nBuffers: 50 kB\n"
    "Cached: 200 kB\nSReclaimable: 30 kB\nHugePages_Total: 0\nbroken\n",
    "sys/kernel/hostname": "thehost\n",
    "1/net/dev": "Inter-|\n face |\n  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n  bad: 1 2\n",
    "1/net/tcp": "  sl  local_address\n"
    "   0: 0100007F:1F90 00000000:0000 0A 0 0\n   1: 0100007F:1F91 0100007F:1F90 01 0 0\n",
    "1/net/tcp6": "  sl\n   0: 0:1 0:0 01 0 0\n",
    "1/net/udp": "  sl\n   0: 0:1 0:0 07 0 0\n",
    "7/stat": "7 (odd) na(me) S 1 7 7 0 -1 0 11 0 12 0 300 400 0 0 20 0 3 0 1000 4096 5 0 0\n",
    "7/status": "Name:\tx\nvoluntary_ctxt_switches:\t21\nnonvoluntary_ctxt_switches:\t22\n",
    "7/io": "rchar: 1\nread_bytes: 31\nwrite_bytes: 32\n",
    "7/fd/0": "",
    "8/stat": "8 (busy) S 1 8 8 0 -1 0 0 0 0 0 9000 0 0 0 20 0 1 0 1000 4096 5 0 0\n",
    "9/stat": "garbled",
}


def place_proc(root: Path) -> None:
    for name, text in FILES.items():
        file = root / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


async def collect(toml: str) -> Place:
    """One collection."""
    known = {"service.name": "gate", "host.name": "ours", "os.type": "linux"}
    place = Place("receiver", "hostmetrics", now_ns=lambda: NOW, resource=known)
    source: Any = place.make(f'initial_delay = "0s"\n{toml}')
    await source.start()
    async with asyncio.timeout(20):
        while not place.out:
            await asyncio.sleep(0.005)  # it is read in a thread
    await source.stop(1)
    return place


async def test_cpu_memory_and_network(tmp_path: Path) -> None:
    place_proc(tmp_path)
    place = await collect(f'root_path = "{tmp_path}"')
    found = numbers(place.out)
    cpu = {dict(a)["cpu.mode"]: v * TICKS for (n, a), v in found.items() if n == "system.cpu.time"}
    assert {mode: round(ticks) for mode, ticks in cpu.items()} == {
        "user": 10,
        "nice": 20,
        "system": 30,
        "idle": 40,
        "iowait": 50,
        "interrupt": 130,
        "steal": 80,
    }
    assert found["system.cpu.logical.count", ()] == 2
    used = {
        dict(a)["system.memory.state"]: v for (n, a), v in found.items() if n.endswith("y.usage")
    }
    assert used == {"free": 102400, "buffers": 51200, "cached": 235520, "used": 634880}
    assert found["system.memory.utilization", (("system.memory.state", "free"),)] == 0.1
    assert found["system.linux.memory.available", ()] == 512000
    eth0 = (("network.interface.name", "eth0"), ("network.io.direction", "transmit"))
    assert found["system.network.io", eth0] == 500
    assert found["system.network.errors", eth0] == 7
    assert found["system.network.packet.dropped", eth0] == 8
    device = (("network.io.direction", "receive"), ("system.device", "eth0"))
    assert found["system.network.packet.count", device] == 2
    states = {
        dict(a).get("network.connection.state"): v
        for (n, a), v in found.items()
        if n == "system.network.connection.count"
    }
    assert states == {"listen": 1, "established": 2, None: 1}


async def test_who_it_is_of_and_since_when(tmp_path: Path) -> None:
    place_proc(tmp_path)
    place = await collect(f'root_path = "{tmp_path}"\nscrapers = ["cpu"]\nper_cpu = true')
    request: Any = place.out[0].message()
    (resource,) = request.resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes} == {
        "host.name": "thehost",
        "os.type": "linux",
    }
    points = [(n, p, m) for n, _, p, m in flat(place.out) if n == "system.cpu.time"]
    assert len(points) == 14
    for _, point, metric in points:
        assert point.start_time_unix_nano == 1600000000 * 10**9
        assert point.time_unix_nano == NOW
        assert (metric.unit, metric.sum.is_monotonic) == ("s", True)


async def test_processes_are_resources(tmp_path: Path) -> None:
    place_proc(tmp_path)
    place = await collect(f'root_path = "{tmp_path}"\nscrapers = ["process"]')
    request: Any = place.out[0].message()
    busy, odd = request.resource_metrics  # the one that used most CPU first
    known = {a.key: a.value.string_value or a.value.int_value for a in odd.resource.attributes}
    assert known == {
        "host.name": "thehost",
        "os.type": "linux",
        "process.pid": 7,
        "process.parent_pid": 1,
        "process.executable.name": "odd) na(me",
    }
    found = {
        (m.name, tuple(a.value.string_value for a in p.attributes)): p.as_double or p.as_int
        for m in odd.scope_metrics[0].metrics
        for p in getattr(m, m.WhichOneof("data")).data_points
    }
    assert found == {
        ("process.cpu.time", ("user",)): 300 / TICKS,
        ("process.cpu.time", ("system",)): 400 / TICKS,
        ("process.memory.usage", ()): 5 * PAGE,
        ("process.memory.virtual", ()): 4096,
        ("process.thread.count", ()): 3,
        ("process.paging.faults", ("minor",)): 11,
        ("process.paging.faults", ("major",)): 12,
        ("process.disk.io", ("read",)): 31,
        ("process.disk.io", ("write",)): 32,
        ("process.context_switches", ("voluntary",)): 21,
        ("process.context_switches", ("involuntary",)): 22,
        ("process.unix.file_descriptor.count", ()): 1,
    }
    (cpu,) = [m for m in busy.scope_metrics[0].metrics if m.name == "process.cpu.time"]
    started = 1600000000 * 10**9 + 1000 * 10**9 // TICKS
    assert cpu.sum.data_points[0].start_time_unix_nano == started


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ('processes = { include = ["^bu"] }', [8]),
        ('processes = { exclude = ["usy"] }', [7]),
        ("processes = { limit = 1 }", [8]),
    ],
)
async def test_processes_can_be_chosen(toml: str, expected: list[int], tmp_path: Path) -> None:
    place_proc(tmp_path)
    place = await collect(f'root_path = "{tmp_path}"\nscrapers = ["process"]\n{toml}')
    request: Any = place.out[0].message()
    pids = [
        a.value.int_value
        for r in request.resource_metrics
        for a in r.resource.attributes
        if a.key == "process.pid"
    ]
    assert pids == expected


async def test_the_real_proc_tells_of_this_process() -> None:
    place = await collect('scrapers = ["cpu", "memory", "network", "process"]')
    found = numbers(place.out)
    assert found["system.memory.limit", ()] > 10**7
    assert found["system.cpu.time", (("cpu.mode", "user"),)] > 0
    assert ("system.network.io", ()) not in found
    assert any(name == "process.cpu.time" for name, _ in found)


async def test_without_proc_it_does_not_start(tmp_path: Path) -> None:
    source: Any = Place("receiver", "hostmetrics").make(f'root_path = "{tmp_path}"')
    with pytest.raises(ConfigError, match="Linux"):
        await source.start()
    await source.stop(1)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('collection_interval = "0s"', "more than 0"),
        ("scrapers = []", "nothing would be read"),
        ('scrapers = ["disk"]', "not one of"),
        ('processes = { include = ["("] }', "regular expression"),
    ],
)
def test_settings_that_cannot_be(toml: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings("receiver", "hostmetrics", toml)
    assert words in str(caught.value)
