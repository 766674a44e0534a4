"""A network of a test's own, with rules that turn connections to a sidecar. Nobody else's is
touched: what is made here is gone with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

_NEWNET = 0x40000000  # CLONE_NEWNET, unshare(2)
HERE4, HERE6 = "10.9.9.9", "fd00:9::9"  # addresses of the machine besides loopback
# Where its servers listen at those: none that the kernel gives to who asks for any, since a sidecar
# sends nothing to its own ports, by whatever address (one of 2,700 pairs had the same by chance).
PORT = 7000
GROUP = 1338  # whoever has it is turned; the test itself, and the sidecar in it, are not

# Sends what it is given by argument to an address and prints what comes back, as that group. All
# that it needs is imported before, since it may not read its own files any more after that.
_CLIENT = """
import encodings.idna, os, socket, sys
os.setgid(int(sys.argv[1]))
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
sock = socket.socket(family)
sock.settimeout(20)
try:
    sock.connect((sys.argv[2], int(sys.argv[3])))
    said = sys.argv[4].encode().decode("unicode_escape").encode("latin-1")
    if said:
        sock.sendall(said)
    if sys.argv[5] == "shut":
        sock.shutdown(socket.SHUT_WR)
    while data := sock.recv(65536):
        os.write(1, data)
        if sys.argv[5] == "once":
            break
except OSError as error:
    os.write(1, ("!" + type(error).__name__).encode())
"""


def lacking() -> str:
    """Why there can be no such network; "" = there can."""
    if os.geteuid():
        return "needs root"
    return "" if shutil.which("nft") and shutil.which("ip") else "needs nft and ip"


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Run in one."""
    if why := lacking():
        pytest.skip(why)
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(_NEWNET):
        os.close(before)
        pytest.skip("no network namespace can be made here")
    try:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "addr", "add", f"{HERE4}/32", "dev", "lo")
        _run("ip", "addr", "add", f"{HERE6}/128", "dev", "lo", "nodad")
        yield
    finally:
        assert libc.setns(before, _NEWNET) == 0
        os.close(before)


def turn(port: int, to: int) -> None:
    """Have connections of the group to that port go to another one."""
    rules = f"""
table inet test {{
  chain output {{
    type nat hook output priority -100; policy accept;
    meta skgid {GROUP} tcp dport {port} redirect to :{to}
  }}
}}
"""
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


def client(address: str, port: int, said: str, how: str = "shut") -> subprocess.Popen[bytes]:
    """Somebody who is turned; `how`: "shut" his end, "open", or leave after what comes "once"."""
    words = [sys.executable, "-c", _CLIENT, str(GROUP), address, str(port), said, how]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def _run(*words: str) -> None:
    subprocess.run(words, check=True)
