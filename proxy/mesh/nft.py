"""Rules in nft's words, and what `nft -j list` answers. Pure: text in, text out.

All is in one table, which nobody else has. So `install` is one transaction that replaces it,
`remove` deletes it, neither needs to know what was there before, and whoever crashed between them
leaves nothing that `remove` would not find. One table of the family inet serves IPv4 and IPv6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from proxy.mesh.rules import MARK, Redirect, Rule

TABLE = "inet spangate"
# Of nat and mangle; by number, because nft 1.0.6 refuses the name `dstnat` in an output chain.
HOOKS = {
    "output": "type nat hook output priority -100",
    "prerouting": "type nat hook prerouting priority -100",
    "divert": "type filter hook prerouting priority -150",
    "reply": "type route hook output priority -150",
}
REMOVE = f"add table {TABLE}\ndelete table {TABLE}\n"  # the former, so that the latter finds it
LIST = ["nft", "-j", "list", "table", *TABLE.split()]


def rules(redirect: Redirect) -> list[Rule]:
    """Those of `redirect = "nft"`."""
    to = f"redirect to :{redirect.inbound}"
    return [
        *outgoing(redirect),
        *incoming(redirect, "prerouting"),
        Rule("prerouting", "what comes in", f"meta l4proto tcp {to}", "nft_redir"),
    ]


def outgoing(redirect: Redirect) -> list[Rule]:
    """What is sent, which is redirected in the same way by TPROXY, which has no output."""
    made = [
        Rule("output", "loopback", 'oifname "lo" return'),
        Rule("output", "own mark", f"meta mark {MARK} return"),
    ]
    if redirect.uids:
        made.append(Rule("output", "users", f"meta skuid {_set(redirect.uids)} return"))
    if redirect.gids:
        made.append(Rule("output", "groups", f"meta skgid {_set(redirect.gids)} return"))
    made.append(Rule("output", "ports", f"tcp dport {_set(redirect.ports)} return"))
    for version, word in ((4, "ip"), (6, "ip6")):
        nets = [net for net in redirect.networks if net.version == version]
        if any(net.prefixlen == 0 for net in nets):  # in a set it is refused
            kind = f"meta nfproto ipv{version} return"
            made.append(Rule("output", f"networks of IPv{version}", kind))
        elif nets:
            text = f"{word} daddr {_set(nets)} return"
            made.append(Rule("output", f"networks of IPv{version}", text))
    to = f"redirect to :{redirect.outbound}"
    return [*made, Rule("output", "what is sent", f"meta l4proto tcp {to}", "nft_redir")]


def incoming(redirect: Redirect, chain: str) -> list[Rule]:
    """What comes in and is left alone. A host that routes for others takes nothing of theirs."""
    ports = sorted({*redirect.ports, *redirect.own_ports})
    return [
        Rule(chain, "loopback", 'iifname "lo" return'),
        Rule(chain, "what is for others", "fib daddr type != local return", "nft_fib_inet"),
        Rule(chain, "ports", f"tcp dport {_set(ports)} return"),
    ]


def _set(items: Iterable[object]) -> str:
    return f"{{ {', '.join(map(str, items))} }}"


def script(rules: Sequence[Rule]) -> str:
    """What `nft -f -` reads: the table as it shall be, in place of the one that is there."""
    chains = dict.fromkeys(rule.chain for rule in rules)
    lines = [REMOVE, f"table {TABLE} {{\n"]
    for chain in chains:
        lines.append(f"  chain {chain} {{\n    {HOOKS[chain]}; policy accept;\n")
        lines += [
            f'    {rule.text} comment "{rule.label}"\n' for rule in rules if rule.chain == chain
        ]
        lines.append("  }\n")
    return "".join([*lines, "}\n"])


def listed(text: bytes) -> list[tuple[str, str]]:
    """Chain and label of each rule, in the kernel's order, from what `LIST` printed; a rule of
    somebody else has the label "". ValueError if that is no answer of nft's."""
    answer = msgspec.json.decode(text)
    entries = answer.get("nftables") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise ValueError("nft -j printed something else than a list of rules")
    return [
        _label(entry["rule"]) for entry in entries if isinstance(entry, dict) and "rule" in entry
    ]


def _label(rule: Any) -> tuple[str, str]:
    return str(rule.get("chain", "")), str(rule.get("comment", ""))
