"""A command that is run in our place: it gets the signals that we get, and we end as it does.

As of `env` and `nohup`, 127 is the exit code of a command that is not there, 126 of one that
cannot be run. One that dies by a signal has us die by the same.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence

# What the kernel sends because of what a process itself does, and what stops a job: a terminal
# stops the whole of it, this process too.
_OWN = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS, signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTIN,
    signal.SIGTTOU, signal.SIGCHLD,
}  # fmt: skip
NOT_FOUND, NOT_RUN = 127, 126


def run(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Run the command and wait for it; its status, as of waitpid(2). `prepare` is called in the
    new process before it becomes the command."""
    passed = {int(number) for number in signal.valid_signals() if number not in _OWN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, passed | {signal.SIGCHLD})
    try:
        child = os.fork()
        if not child:
            _become(words, prepare, before)
        return _wait(child, passed)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(child: int, passed: set[int]) -> int:
    while True:
        told = signal.sigwaitinfo(passed | {signal.SIGCHLD})
        if told.si_signo == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
        elif told.si_code <= 0:  # by a process; what a terminal sends, the command has got as well
            os.kill(child, told.si_signo)


def _become(words: Sequence[str], prepare: Callable[[], None], mask: set[int]) -> None:
    """Never returns."""
    code = NOT_RUN
    try:
        prepare()
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python's own habit
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvp(words[0], list(words))
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_RUN
        sys.stderr.write(f"spangate: {words[0]}: {error.strerror}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def end_as(status: int) -> None:
    """End this process as one of that status has ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump is enough
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))
