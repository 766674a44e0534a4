"""What is redirected to the sidecar, what is left alone, and how rules are told apart.

Pure: from the `Mesh` of a configuration to values that the backends (`nft.py`, `iptables.py`,
`tproxy.py`, `bpf_programs.py`) write in their own words. It knows no command, and no user but by
number.

    output      what processes of this network namespace send to others -> mesh.outbound
    prerouting  what others send to this network namespace              -> mesh.inbound

In both, what is on `lo` is left alone: an application reaches itself and its neighbours on the
same host without a sidecar, and the sidecar its application. So no dial of the sidecar to the
application can come back to it, whatever address it is bound to. (linkerd2-proxy-init does the
same; Istio redirects some of it, and needs a source address of its own to break the circle.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from proxy.config.mesh_model import Mesh

MARK = 1337  # of packets that are the sidecar's own: SO_MARK, for who has no user of its own
DNS = 53  # also by TCP: a resolver that is asked by it expects an answer from whom it asked

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Own:
    """Who the sidecar is, in numbers; what it sends is never redirected."""

    uid: int | None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """What is to be redirected, and what not."""

    how: str  # as mesh.redirect
    inbound: int
    outbound: int
    ports: tuple[int, ...]  # of destinations, left alone when they are somebody else's
    own_ports: tuple[int, ...]  # of the sidecar itself, left alone when others call them
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    networks: tuple[Network, ...]  # of destinations


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in the words of a backend."""

    chain: str
    what: str  # for people: what it is for
    text: str
    needs: str = ""  # the kernel's module without which it is refused

    @property
    def label(self) -> str:
        """What the kernel keeps with the rule, by which it is known again, and whether it says
        what it should: kernels print rules in other words than they were given."""
        digest = sha256(f"{self.chain} {self.text}".encode()).hexdigest()[:8]
        return f"spangate {digest} {self.what}"


def port_of(address: str) -> int:
    """The port of ":15006", "127.0.0.1:15001" or "[::1]:15001". ValueError without one."""
    digits = address.rpartition(":")[2]
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536):
        raise ValueError(f"{address!r} has no port to redirect to")
    return int(digits)


def redirect(
    mesh: Mesh, own: Own, users: Iterable[int] = (), admin: Iterable[int] = ()
) -> Redirect:
    """What `mesh` asks for. `users`: the numbers of mesh.exclude.users; `admin`: ports of ours
    besides, which others call and no application has. ValueError says what cannot be done."""
    inbound, outbound = port_of(mesh.inbound), port_of(mesh.outbound)
    return Redirect(
        how=mesh.redirect,
        inbound=inbound,
        outbound=outbound,
        ports=tuple(sorted({DNS, *mesh.exclude.ports})),
        own_ports=tuple(sorted({inbound, outbound, *admin})),
        uids=tuple(sorted({*users, *(() if own.uid is None else (own.uid,))})),
        gids=() if own.gid is None else (own.gid,),
        networks=tuple(_networks(mesh.exclude.networks)),
    )


def _networks(texts: Sequence[str]) -> Iterable[Network]:
    """Without those that lie in others, which nft refuses in one set."""
    nets = [ip_network(text, strict=False) for text in texts]
    yield from collapse_addresses([net for net in nets if isinstance(net, IPv4Network)])
    yield from collapse_addresses([net for net in nets if isinstance(net, IPv6Network)])


def absent(
    wanted: Iterable[Rule], present: Iterable[tuple[str, str]], where: str = ""
) -> list[str]:
    """What is wrong with the rules that a kernel has, in order, as (chain, label); [] = nothing.
    Order counts: the first rule that matches decides."""
    rules, there = list(wanted), list(present)
    if not there:
        return [f"{where}none of the {len(rules)} rules: `spangate redirect install` makes them"]
    have, want = Counter(there), Counter((rule.chain, rule.label) for rule in rules)
    found = [
        f"{where}{rule.chain}: no rule for {rule.what} ({rule.text})"
        for rule in rules
        if not have[rule.chain, rule.label]
    ]
    found += [
        f"{where}{chain}: a rule that does not belong there ({label or 'of somebody else'})"
        for chain, label in (have - want).elements()
    ]
    if not found and _by_chain(rules) != _of_chains(there):
        found.append(f"{where}the rules are not in their order")
    return found


def _by_chain(rules: list[Rule]) -> dict[str, list[str]]:
    return _of_chains([(rule.chain, rule.label) for rule in rules])


def _of_chains(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    chains: dict[str, list[str]] = {}
    for chain, label in pairs:
        chains.setdefault(chain, []).append(label)
    return chains
