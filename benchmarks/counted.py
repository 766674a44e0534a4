"""A worker under callgrind behind a real hub, with a backend and a sink on the other core.

Start-up under valgrind takes ten seconds or more, so one worker serves many configurations: `use`
has the hub reload. The worker's timers are stretched as valgrind stretches it
(`patient_worker`), or their instructions would be charged to requests.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import callgrind, fixed, peers, proc, workload

WARM, FEW, MANY = 300, 200, 1200  # requests
PATIENCE = 120.0  # seconds, under valgrind
STRETCH = 40
NO_TIMERS = 40_000  # for what is asked of a request alone, however many the timers look after


@dataclass(frozen=True, slots=True)
class Counted:
    """One worker that is counted. `ports`: backends and sink."""

    hub: subprocess.Popen[bytes]
    pid: int
    port: int
    directory: Path
    ports: Mapping[str, int]

    def use(self, text: str) -> None:
        """Reload with this configuration, its {blanks} filled in, and wait until it is in force."""
        log = self.directory / "gateway.out"
        before = log.read_text().count("reloaded: ")
        callgrind.control("--instr=off", self.pid)  # many times faster
        write(self.directory, text, self.port, self.ports)
        self.hub.send_signal(signal.SIGHUP)
        try:
            proc.wait_until(
                lambda: log.read_text().count("reloaded: ") > before, PATIENCE, "the reload"
            )
        except TimeoutError as error:
            raise SystemExit(f"{error}\n{log.read_text()[-2000:]}") from None
        callgrind.control("--instr=on", self.pid)

    def profile(
        self,
        requests: Sequence[Any],
        status: int = 200,
        *,
        warm: int = WARM,
        run: Callable[..., None] = fixed.run,
    ) -> dict[tuple[str, str], float]:
        """Instructions a request by object and function: those of MANY less those of FEW. `run`
        makes them: that of `fixed` or of `fixed_h2`."""
        run(self.port, requests, warm, status)
        found = self._count(lambda: run(self.port, requests, MANY, status))
        found.subtract(self._count(lambda: run(self.port, requests, FEW, status)))
        return {key: cost / (MANY - FEW) for key, cost in found.items() if cost}

    def instructions(self, requests: Sequence[bytes], status: int = 200) -> int:
        """Instructions a request, all together."""
        return round(sum(self.profile(requests, status).values()))

    def _count(self, run: Callable[[], None]) -> callgrind.Profile:
        callgrind.control("--zero", self.pid)
        run()
        before = set(self.directory.glob("callgrind.*"))
        callgrind.control("--dump", self.pid)
        found: callgrind.Profile = Counter()
        for path in set(self.directory.glob("callgrind.*")) - before:
            found.update(callgrind.profile(path))
            path.unlink()
        return found


def write(directory: Path, text: str, port: int, ports: Mapping[str, int]) -> Path:
    """The configuration's file, put in its place in one piece."""
    file, new = directory / "routes.toml", directory / "new.toml"
    new.write_text(text.format(port=port, **ports))
    new.rename(file)
    return file


@contextmanager
def counted(text: str, host: str = "127.0.0.1", stretch: int = STRETCH) -> Iterator[Counted]:
    """The whole test bed, the worker instrumented and answering; `host` is the backend's."""
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions are counted by valgrind: apt-get install valgrind")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spangate-ir-")))
        yield start(stack, directory, text, backing(stack, directory, host), stretch)


def start(
    stack: ExitStack,
    directory: Path,
    text: str,
    ports: Mapping[str, int],
    stretch: int = STRETCH,
) -> Counted:
    """The hub with one worker, instrumented and answering."""
    port = peers.free_port()
    command = [
        *(sys.executable, "-m", "benchmarks.launch", str(write(directory, text, port, ports))),
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        f"--callgrind-out-file={directory}/callgrind.%p",
        f"--log-file={directory}/valgrind.%p",
        *(sys.executable, "-m", "benchmarks.patient_worker"),
    ]
    log = directory / "gateway.out"
    env = {"PYTHONHASHSEED": "0", "SPANGATE_BENCH_STRETCH": str(stretch)}
    process = proc.start(command, proc.cores()[0], log, env)
    stack.callback(proc.stop, process)
    try:
        proc.wait_until(lambda: _answers(port, process), PATIENCE, "the worker")
    except TimeoutError as error:
        raise SystemExit(f"{error}\n{log.read_text()[-2000:]}") from None
    children = (pid for pid in proc.tree(process.pid) if pid != process.pid)
    (pid,) = (pid for pid in children if "benchmarks.patient_worker" in proc.command(pid))
    callgrind.control("--instr=on", pid)
    return Counted(process, pid, port, directory, ports)


def backing(stack: ExitStack, directory: Path, host: str = "127.0.0.1") -> dict[str, int]:
    """The ports of two backends and a sink that were started."""
    ports = {name: peers.free_port() for name in ("backend", "backend_h2", "sink")}
    for name, port in ports.items():
        command = [sys.executable, "-m", f"benchmarks.{name}", str(port)]
        command += [host] if name != "sink" else []
        process = proc.start(command, proc.cores()[1], directory / f"{name}.out")
        stack.callback(proc.stop, process)
    for name, port in ports.items():
        proc.wait_until(lambda port=port: proc.listens(port), 20, name)  # type: ignore[misc]
    return ports


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise TimeoutError(f"the hub ended with {process.returncode}")
    try:
        fixed.run(port, [workload.request("1" * 32)], 1, connections=1)
    except (OSError, fixed.Failed):
        return False
    return True
