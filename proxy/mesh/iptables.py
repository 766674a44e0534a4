"""Rules in the words of iptables and ip6tables, and what `iptables-save` prints. Pure.

They stand in two chains of our own in the table nat, to which one rule each in OUTPUT and
PREROUTING leads. `iptables-restore --noflush` makes all of it at once, empties a chain of ours
that it names, and leaves the chains of others alone; only those two jumps must not be made twice,
so that what is there is read first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from proxy.mesh.rules import MARK, Redirect, Rule

CHAINS = {"SPANGATE_OUTPUT": "OUTPUT", "SPANGATE_PREROUTING": "PREROUTING"}
OUT, IN = CHAINS
_JUMPS = [Rule(to, "the jump", f"-p tcp -j {chain}") for chain, to in CHAINS.items()]
_FEW = 15  # ports that one rule of the match multiport takes
_LABEL = re.compile(r"spangate [0-9a-f]{8} .*")

# What `iptables-save` would print of what we make, but for what is in our chains.
AS_MADE = "\n".join(
    [
        "*nat",
        *(f":{chain} - [0:0]" for chain in CHAINS),
        *(f'-A {jump.chain} -m comment --comment "{jump.label}" {jump.text}' for jump in _JUMPS),
    ]
)


def rules(redirect: Redirect, version: int) -> list[Rule]:
    """Those of `redirect = "iptables"`, for IPv4 or IPv6."""
    to = "-p tcp -j REDIRECT --to-ports"
    incoming = sorted({*redirect.ports, *redirect.own_ports})
    others = "-m addrtype ! --dst-type LOCAL -j RETURN"
    return [
        *_JUMPS,
        Rule(OUT, "loopback", "-o lo -j RETURN"),
        Rule(OUT, "own mark", f"-m mark --mark {MARK} -j RETURN", "xt_mark"),
        *(
            Rule(OUT, f"user {uid}", f"-m owner --uid-owner {uid} -j RETURN", "xt_owner")
            for uid in redirect.uids
        ),
        *(
            Rule(OUT, f"group {gid}", f"-m owner --gid-owner {gid} -j RETURN", "xt_owner")
            for gid in redirect.gids
        ),
        *_ports(OUT, redirect.ports),
        *(
            Rule(OUT, f"network {net}", f"-d {net} -j RETURN")
            for net in redirect.networks
            if net.version == version
        ),
        Rule(OUT, "what is sent", f"{to} {redirect.outbound}", "xt_REDIRECT"),
        Rule(IN, "loopback", "-i lo -j RETURN"),
        Rule(IN, "what is for others", others, "xt_addrtype"),
        *_ports(IN, incoming),
        Rule(IN, "what comes in", f"{to} {redirect.inbound}", "xt_REDIRECT"),
    ]


def _ports(chain: str, ports: Sequence[int]) -> list[Rule]:
    lots = [ports[i : i + _FEW] for i in range(0, len(ports), _FEW)]
    return [
        Rule(
            chain,
            "ports" if len(lots) == 1 else f"ports from {lot[0]}",
            f"-p tcp -m multiport --dports {','.join(map(str, lot))} -j RETURN",
            "xt_multiport",
        )
        for lot in lots
    ]


def script(rules: Iterable[Rule], present: Sequence[tuple[str, str]]) -> str:
    """What `iptables-restore --noflush` reads, where `present` is there."""
    lines = [*_without_jumps(present), *(f":{chain} - [0:0]" for chain in CHAINS)]
    lines += [f'-A {rule.chain} -m comment --comment "{rule.label}" {rule.text}' for rule in rules]
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def removal(present: Sequence[tuple[str, str]], chains: Iterable[str]) -> str:
    """The same, to have none; "" where nothing of ours is there."""
    lines = _without_jumps(present)
    ours = [chain for chain in chains if chain in CHAINS]
    lines += [f":{chain} - [0:0]" for chain in ours]  # emptied, before it can be deleted
    lines += [f"-X {chain}" for chain in ours]
    return "\n".join(["*nat", *lines, "COMMIT", ""]) if lines else ""


def _without_jumps(present: Sequence[tuple[str, str]]) -> list[str]:
    made = {to: chain for chain, to in CHAINS.items()}
    return [
        f'-D {chain} -p tcp -m comment --comment "{label}" -j {made[chain]}'
        for chain, label in present
        if chain in made
    ]


def listed(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """From what `iptables-save` printed: chain and label of each rule of ours in the table nat, in
    its order (the label is "" for one of somebody else in a chain of ours), and its chains."""
    found: list[tuple[str, str]] = []
    chains: list[str] = []
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "nat" and line.startswith(":"):
            chains.append(line[1:].split(" ", 1)[0])
        elif table == "nat" and line.startswith("-A "):
            found += _ours(line)
    return found, chains


def is_strange(text: str) -> bool:
    """Whether `iptables-save` has kept the table nat to itself, since nft has put something there
    that iptables has no words for."""
    return re.search(r"^# Table .nat. is incompatible", text, re.MULTILINE) is not None


def _ours(line: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(line)
    except ValueError:  # a comment of somebody else
        return []
    chain = words[1] if len(words) > 1 else ""
    label = next((word for word in words if _LABEL.fullmatch(word)), "")
    return [(chain, label)] if chain in CHAINS or (label and chain in CHAINS.values()) else []
