"""Unix sockets to listen on: made with their mode, taken over from the dead, removed at the end.

A path can be bound once, so all workers share one listening socket and its queue. A file that
nobody listens on is what a killed process has left, and is removed; anything else that stands at
the path is somebody's, and is left alone.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

from proxy.config.syntax import parse_unix
from proxy.errors import ConfigError, Problem, cannot_listen

BACKLOG = 4096  # as of other sockets; the kernel caps it
MODE = 0o660  # where nobody says anything else

_REMEDIES = {
    errno.EADDRINUSE: "another process listens there: stop it, or use another path",
    errno.EEXIST: "something that is no socket stands there: remove it, or use another path",
    errno.ENOENT: "make its folder",
    errno.ENOTDIR: "make its folder",
    errno.EACCES: "let this user write to its folder, or use another path",
    errno.EPERM: "let this user write to its folder, or use another path",
    errno.EROFS: "use a path that can be written to, such as below /run",
}


class ListenError(ConfigError):
    """An address that cannot be listened on; the text is one line with key and remedy."""

    def __init__(self, problems: list[Problem], address: str) -> None:
        super().__init__(problems)
        self.address = address


def listen_error(address: str, error: OSError, key: str) -> ListenError:
    """As an error of the configuration, with what to do about it."""
    what, remedy = cannot_listen(address, error, key)
    if address.startswith("unix:"):
        remedy = _REMEDIES.get(error.errno or 0, remedy)
    return ListenError([Problem(key, what, remedy)], address)


class UnixSocket:
    """One path that is listened on, and the file that is ours."""

    __slots__ = ("_file", "_mode", "_path", "socket", "taken")

    def __init__(self, address: str, mode: int = MODE) -> None:
        """Raises OSError."""
        self._path = parse_unix(address)
        self._file = (0, 0)
        self.taken = (0, 0)  # the file, as long as it is another hub's
        self._mode = -1
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            self._bind()
            self.change(mode)
            self.socket.listen(BACKLOG)  # until now nobody could connect, whatever the umask says
        except BaseException:
            self.close()
            raise

    @classmethod
    def take_over(cls, address: str, sock: socket.socket, file: tuple[int, int]) -> UnixSocket:
        """One that another hub has made, and whose file is the other's until `own`."""
        made = cls.__new__(cls)
        made._path, made._file, made._mode = parse_unix(address), (0, 0), -1
        made.socket, made.taken = sock, file
        return made

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode; (0, 0) = it is not ours."""
        return self._file

    def own(self) -> None:
        """The file is ours from now on."""
        if self.taken != (0, 0):
            self._file, self.taken = self.taken, (0, 0)

    def disown(self) -> None:
        """It is somebody else's."""
        self._file = (0, 0)

    def change(self, mode: int) -> None:
        """Let others connect than until now; OSError if the file is gone."""
        if mode != self._mode:
            os.chmod(self._path, mode)
            self._mode = mode

    def close(self) -> None:
        """No more of it here; the file goes if it is still the one that was made."""
        self.socket.close()
        if self._file == (0, 0):
            return
        try:
            if _identity(self._path) == self._file:
                os.unlink(self._path)
        except OSError:
            pass  # somebody has removed it, or the folder cannot be written to any more

    def _bind(self) -> None:
        try:
            self.socket.bind(self._path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(self._path)
            self.socket.bind(self._path)
        self._file = _identity(self._path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; OSError if it is anything else."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # it is alive: busy (EAGAIN), or not for us (EACCES)
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
