"""The addresses of this host, from what the kernel prints of them."""

from __future__ import annotations

import contextlib
import ipaddress
import re

from proxy.mesh.rules import Network

_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def own_v4(trie: str) -> list[str]:
    """From /proc/net/fib_trie, in which each is twice."""
    return sorted(set(_LOCAL.findall(trie)))


def own_v6(lines: str) -> list[str]:
    """From /proc/net/if_inet6."""
    found = (line.split(" ", 1)[0] for line in lines.splitlines())
    return [str(ipaddress.IPv6Address(bytes.fromhex(text))) for text in found if len(text) == 32]


def own() -> list[Network]:
    """Those of this network namespace, each as a network of its own."""
    texts: list[str] = []
    for path, read in (("/proc/net/fib_trie", own_v4), ("/proc/net/if_inet6", own_v6)):
        try:
            with open(path, encoding="ascii") as file:
                texts += read(file.read())
        except OSError:  # no IPv6 here
            continue
    return [ipaddress.ip_network(text) for text in texts]


def listens(port: int) -> bool:
    """Whether somebody in this network namespace listens at that TCP port."""
    tables = ""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            tables += file.read()
    return is_listening(tables, port)


def is_listening(tables: str, port: int) -> bool:
    """The same from the lines of /proc/net/tcp and tcp6; 0A is LISTEN."""
    line = rf"^\s*\d+: [0-9A-F]+:{port:04X} [0-9A-F]+:0000 0A "
    return re.search(line, tables, re.MULTILINE) is not None
