"""The process that follows this one: started, watched, ended if it is not wanted.

It is a child of this one, or, where a service manager is told of it, an orphan, which the manager
adopts. systemd waits at a stop for children of its own alone: a main process that it has not
started or adopted before it hears of it gets SIGKILL right behind its SIGTERM, with all that the
gateway still serves (KillMode=mixed; systemd 252, unit_kill_context).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

# Between this process and the orphan: it says the orphan's pid, and ends when its stdin does. Until
# then nobody else can be called by that pid.
_BETWEEN = """
import os, sys
pipe = int(sys.argv[1])
close, null = (os.POSIX_SPAWN_CLOSE, pipe), (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[close, null])
os.write(pipe, b"%d" % pid)
os.read(0, 1)
"""
_LONGEST = 20  # digits of a pid, and more


class Successor:
    """The new process; `pidfd` is of it, and `parent` who waits for it, None = the manager."""

    def __init__(self, pid: int, pidfd: int, parent: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._parent = parent
        self._end: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pidfd, self._gone)

    async def exited(self) -> int | None:
        """The exit status, as Popen tells it; None where only the manager knows."""
        return await asyncio.shield(self._end)

    @property
    def is_lost(self) -> bool:
        """Whether it has ended, and may have left undone what the last one does: it was killed, or
        only the manager knows how it has ended."""
        if not self._end.done():
            return False
        status = self._end.result()
        return status is None or status < 0

    async def end(self, patience: float) -> None:
        """It is not wanted any more; what it has accepted it may finish."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.exited(), patience)
        except TimeoutError:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self._end.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._end.set_result(self._parent.wait() if self._parent is not None else None)


async def start(
    words: Sequence[str], environ: Mapping[str, str], fds: Sequence[int], *, orphan: bool
) -> Successor:
    """Run `words` with these descriptors. OSError."""
    if orphan:
        pid, pidfd = await asyncio.to_thread(_adopted, words, environ, fds)
        return Successor(pid, pidfd, None)
    process = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, pass_fds=fds)
    return Successor(process.pid, os.pidfd_open(process.pid), process)


def _adopted(
    words: Sequence[str], environ: Mapping[str, str], fds: Sequence[int]
) -> tuple[int, int]:
    """(pid, pidfd) of a process whose parent has ended."""
    ours, theirs = os.pipe()
    try:
        between = subprocess.Popen(
            [sys.executable, "-IS", "-c", _BETWEEN, str(theirs), *words],
            env=environ,
            stdin=subprocess.PIPE,
            pass_fds=[*fds, theirs],
        )
        os.close(theirs)
        theirs = -1
        with between:  # closes its stdin and waits for it
            said = os.read(ours, _LONGEST)
            if not said:
                raise OSError(f"{words[0]} could not be started")
            return int(said), os.pidfd_open(int(said))
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
