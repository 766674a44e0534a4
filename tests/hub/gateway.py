"""A hub in a process of its own, as `spangate run` starts it, and what tests ask of it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

FAKE = (sys.executable, "-m", "tests.hub.fake_worker")
DEADLINE = 60.0  # seconds: generous, since many of these run at once

MINIMAL = """
listen = "127.0.0.1:0"
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[[route]]
path = "/*"
respond = {{ status = 200, body = "pong" }}
{more}
"""

_MAIN = """
import os, sys
if "SPANGATE_TAKEOVER" in os.environ and "SPANGATE_TEST_NEW" in os.environ:
    exec(open(os.environ["SPANGATE_TEST_NEW"]).read())
from proxy.hub import bus, collector_process, rollout, services, supervisor, upgrade
from proxy.hub.main import run
upgrade.READY_WITHIN = float(os.environ.get("SPANGATE_TEST_READY", upgrade.READY_WITHIN))
rollout.ANSWER = float(os.environ.get("SPANGATE_TEST_ANSWER", 60))
# On a busy machine as well a scrape is to tell everything, and what is ready to go by its sources.
bus.COLLECT_TIMEOUT = collector_process.COLLECT_TIMEOUT = supervisor.COLLECT_TIMEOUT = 5.0
services.FOUND_WITHIN = 10.0
path, workers, *command = sys.argv[1:]
sys.exit(run(path, int(workers), command) if command else run(path, int(workers)))
"""


class Gateway:
    """One running hub. `lines` is what it has said on stderr so far."""

    def __init__(
        self, file: Path, workers: int, command: tuple[str, ...], stdout: IO[bytes] | int
    ) -> None:
        self.file = file
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(file), str(workers), *command],
            stderr=subprocess.PIPE,
            stdout=stdout,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(said(line.rstrip("\n")))

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        def find() -> re.Match[str] | None:
            return next((m for line in self.lines if (m := re.search(pattern, line))), None)

        found = until(lambda: find() or (self.process.poll() is not None and "ended"))
        assert isinstance(found, re.Match), self.lines
        return found

    def wait_ready(self) -> None:
        """Until it serves; where it lacks what it needs for `/ready`, it says that."""
        begins = r"(?:ready:| waits: .*;) https? on"
        line = self.wait_for_line(begins + r" (\S+?),.* admin on http://(\S+), ")
        self.port = int(line[1].rpartition(":")[2])
        self.admin = int(line[2].rpartition(":")[2])

    def get(self, path: str = "/", port: int = 0) -> str:
        """The answer's body; raises OSError if the connection was refused or reset."""
        return fetch(port or self.port, path)[2].decode()

    def ask(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """From the admin port."""
        return fetch(self.admin, path, headers)

    def stats(self) -> Any:
        return json.loads(self.ask("/stats")[2])

    def values(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of /metrics by name and sorted labels."""
        _, _, body = self.ask("/metrics", Accept="application/openmetrics-text;version=1.0.0")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def rewrite(self, text: str) -> None:
        """A new file, never seen half written, and HUP."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)
        self.signal(signal.SIGHUP)

    def end(self) -> int:
        """TERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """The exit code of one that ends, once all that it has said is read."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def close(self) -> None:
        """End it, however it is, and let go of what it has written."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def gateway(
    folder: Path,
    text: str = "",
    *,
    workers: int = 2,
    command: tuple[str, ...] = (),
    stdout: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[Gateway]:
    """A gateway that is ready; it is ended, however the test ends."""
    file = folder / "routes.toml"
    file.write_text(text or MINIMAL.format(more=""))
    hub = Gateway(file, workers, command, stdout)
    try:
        hub.wait_ready()
        yield hub
    except BaseException:
        sys.stderr.write("\n".join([*hub.lines, ""]))  # pytest shows it beside what has failed
        raise
    finally:
        hub.close()


def said(line: str) -> str:
    """What a line of the log says: its message, with a traceback; other lines as they are."""
    if not line.startswith("{"):
        return line
    record = json.loads(line)
    return "\n".join(filter(None, (record["message"], record.get("exception"))))


def fetch(
    port: int, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) from 127.0.0.1, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request(method, path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def until(condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return value


def children(pid: int, module: str = "") -> list[int]:
    """Processes that `pid` has started; with `module`, those that run it."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(c) for c in found if is_alive(int(c)) and (not module or module in _words(c))]


def _words(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
