"""What this host can do: commands that are run, and capabilities that this process has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 30.0  # seconds for one command: xtables has a lock, and others hold it
_SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # not in the PATH of everybody who may use them
PACKAGES = {"nft": "nftables", "ip": "iproute2"}
NUMBERS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}  # capability.h


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def why(self) -> str:
        """What it says of its failure, on one line."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip(" ^\t")]
        return lines[0] if lines else f"exit code {self.code}"


def found(command: str) -> str | None:
    """Where a command is."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
    return shutil.which(command, path=path)


def lacking_command(command: str) -> list[str]:
    """That it is not there, and what has it."""
    if found(command):
        return []
    package = PACKAGES.get(command, "iptables")
    return [f"command {command} is not installed (apt-get install {package})"]


def run(words: Sequence[str], text: str = "") -> Done:
    """Run a command with `text` on its stdin. One that is not there or hangs has failed."""
    path = found(words[0])
    if path is None:
        return Done(127, b"", lacking_command(words[0])[0])
    environ = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [path, *words[1:]],
            input=text.encode(),
            capture_output=True,
            timeout=PATIENCE,
            env=environ,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Done(124, b"", f"{words[0]} has not ended within {PATIENCE:g} s")
    except OSError as error:
        return Done(126, b"", f"{words[0]}: {error.strerror}")
    return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def capabilities(status: str) -> int:
    """The effective set of the process whose /proc/PID/status that is."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(match[1], 16) if match else 0


def lacking_capabilities(names: Sequence[str]) -> list[str]:
    """Those that this process does not have, and what they are for is the caller's to say."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        has = capabilities(file.read())
    # CAP_SYS_ADMIN was all of CAP_BPF before Linux 5.8, and is taken for it since.
    if has >> NUMBERS["CAP_SYS_ADMIN"] & 1:
        has |= 1 << NUMBERS["CAP_BPF"]
    return [name for name in names if not has >> NUMBERS[name] & 1]


def has_ipv6() -> bool:
    """Whether the kernel speaks it."""
    return os.path.exists("/proc/net/if_inet6")
