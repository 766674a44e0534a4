"""One collector process as the hub sees it: its link, its orders, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

from proxy.collector import frames
from proxy.errors import ConfigError
from proxy.hub.link import Link, pair
from proxy.hub.questions import Questions
from proxy.hub.rings import Ring
from proxy.tasks import spawn

RETRY = 0.05  # seconds until a ring is handed over to one that had no room for it


class Died(OSError):
    """The process ended before it had done what it was told."""


class Run:
    """From start to end. `tell` gets what is no answer; `ended` is called once, with the exit
    status and the CPU seconds that were used."""

    def __init__(
        self,
        tell: Callable[[int, int, bytes], None],
        ended: Callable[[Run, int, float], None],
    ) -> None:
        self.started = time.monotonic()
        self.failed = False  # its configuration was refused, and it ends for that
        self.process: subprocess.Popen[bytes]
        self.link = Link(self._take)
        self._tell = tell
        self._ended = ended
        self.questions = Questions(self.link)
        self._rings: socket.socket
        self._gone = asyncio.Event()
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._questions = 0
        self._asked: dict[int, asyncio.Future[None]] = {}

    async def start(self, command: Sequence[str], page: int) -> None:
        ours, theirs = pair()
        self._rings, rings = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._rings.setblocking(False)
        rings.setblocking(False)
        with theirs, rings:
            places = [theirs.fileno(), rings.fileno(), page]
            names = ("--link", "--rings", "--page")
            arguments = [
                text for pair in zip(names, map(str, places), strict=True) for text in pair
            ]
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=places,
                process_group=0,  # Ctrl-C in a terminal reaches the hub alone
            )
        loop = asyncio.get_running_loop()
        pidfd = os.pidfd_open(self.process.pid)
        loop.add_reader(pidfd, self._exited, pidfd)
        await loop.create_unix_connection(lambda: self.link, sock=ours)

    async def order(self, kind: int, payload: bytes = b"") -> None:
        """Have it done; raises ConfigError with what is wrong, or Died."""
        if self._gone.is_set():
            raise Died("the collector has ended")
        answer = self._answers[kind] = asyncio.get_running_loop().create_future()
        self.link.send(kind, payload)
        await answer

    async def collect(self, timeout: float) -> bool:
        """Have it tell everything that it has counted until now; False if it did not in time."""
        self._questions += 1
        future = self._asked[self._questions] = asyncio.get_running_loop().create_future()
        self.link.send(frames.COLLECT, items=self._questions)
        await asyncio.wait([future], timeout=timeout)
        self._asked.pop(self._questions, None)
        return future.done()

    def hand_over(self, ring: Ring) -> None:
        """Have it read the ring."""
        pipe = ring.lend_pipe()
        try:
            socket.send_fds(self._rings, [frames.RING.pack(ring.number)], [ring.memory, pipe])
        except BlockingIOError:
            asyncio.get_running_loop().call_later(RETRY, self.hand_over, ring)
        except OSError:
            pass  # it has ended; its successor gets all rings
        finally:
            os.close(pipe)

    async def end(self, deadline: float, grace: float) -> bool:
        """Tell it to stop, and see that it does; False if it had to be killed."""
        self.link.send(frames.STOP, frames.encode(deadline))
        try:
            await asyncio.wait_for(self._gone.wait(), deadline + grace)
        except TimeoutError:
            os.kill(self.process.pid, signal.SIGKILL)
            await self._gone.wait()
            return False
        return True

    def _take(self, kind: int, items: int, payload: bytes) -> None:
        if kind == frames.DONE:
            _settle(self._answers.pop(items, None))
        elif kind == frames.FAILED:
            self.failed = self.failed or items == frames.START
            problems = frames.decode_problems(payload)
            _settle(self._answers.pop(items, None), ConfigError(problems))
        elif kind in (frames.ANSWER, frames.TAPPED):
            self.questions.take(kind, items, payload)
        else:
            self._tell(kind, items, payload)
            if kind == frames.COLLECTED:
                _settle(self._asked.pop(items, None))

    def _exited(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        spawn(self._bury(usage.ru_utime + usage.ru_stime), "bury the collector")

    async def _bury(self, spent: float) -> None:
        """Read its last words before anybody is told."""
        try:
            await asyncio.wait_for(self.link.lost.wait(), 1.0)
        except TimeoutError:
            self.link.close()
        self._rings.close()
        self._gone.set()
        self.questions.end()
        self._ended(self, self.process.returncode, spent)
        for future in self._answers.values():
            _settle(future, Died("the collector has ended"))
        for future in self._asked.values():
            _settle(future)
        self._answers.clear()
        self._asked.clear()


def _settle(future: asyncio.Future[None] | None, error: Exception | None = None) -> None:
    """Unless nobody waits for it any more."""
    if future is None or future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(None)
