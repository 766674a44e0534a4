"""Rules of TPROXY, with which the application sees the address of its client. Pure.

What comes in is handed to the sidecar's socket without NAT: its original destination is
`getsockname()`. The sidecar then calls the application *from the client's address*: a socket with
IP_TRANSPARENT and SO_MARK `MARK`, bound to (address of the client, 0). The answers of the
application go to that address, and would leave the host; so the connection is marked when it
begins, and what belongs to it is routed to `lo` by a routing table of our own. No setting of the
kernel (rp_filter, route_localnet) is touched.

    divert   client -> sidecar: handed over; sidecar -> application: the connection is marked
    reply    application -> client: marked like its connection, so that it goes to `lo`
    output   what is sent: by NAT, as without TPROXY, which has no output

Listening and calling so need CAP_NET_ADMIN (or CAP_NET_RAW) as long as the sidecar runs.
Documentation/networking/tproxy.rst of Linux.
"""

from __future__ import annotations

import re

from proxy.mesh.nft import incoming, outgoing
from proxy.mesh.rules import MARK, Redirect, Rule

ROUTES = 133  # the number of the routing table
LIST = ["rule", "list"]  # after `ip -4`
LIST_ROUTES = ["route", "list", "table", str(ROUTES)]
_MARKED = f"fwmark 0x{MARK:x} lookup {ROUTES}"  # as `ip rule list` prints it
# Answers of an application that is called at 127.0.0.1 and sees a client elsewhere. Linux refuses
# to route them before they can be marked, if not by `route_localnet`, a setting of an interface,
# which would have to be found as it was; nothing else that is sent is from there.
_LOCAL = f"from 127.0.0.0/8 iif lo lookup {ROUTES}"
_RULES = {4: (_MARKED, _LOCAL), 6: (_MARKED,)}
_ROUTE = ["route", "replace", "local", "default", "dev", "lo", "table", str(ROUTES)]

# Without a listener that has IP_TRANSPARENT the rules before it do nothing, and what begins then
# would go past a sidecar that is dead. What is no beginning is nobody's but its own socket's.
_REFUSE = "tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset"


def rules(redirect: Redirect) -> list[Rule]:
    """Those of `redirect = "tproxy"`, in nft's words."""
    mark = f"meta mark set {MARK} accept"
    began = f'iifname "lo" meta mark {MARK} ct mark set {MARK} return'
    known = f"meta l4proto tcp socket transparent 1 {mark}"
    to4 = f"meta nfproto ipv4 meta l4proto tcp tproxy ip to :{redirect.inbound} {mark}"
    to6 = f"meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :{redirect.inbound} {mark}"
    return [
        *outgoing(redirect),
        Rule("divert", "calls of the application", began, "nft_ct"),
        *incoming(redirect, "divert"),
        Rule("divert", "what is connected", known, "nft_socket"),
        Rule("divert", "what comes in by IPv4", to4, "nft_tproxy"),
        Rule("divert", "what comes in by IPv6", to6, "nft_tproxy"),
        Rule("divert", "what no sidecar takes", _REFUSE, "nft_reject_inet"),
        Rule("reply", "calls of the application", f'oifname "lo" meta mark {MARK} return'),
        Rule("reply", "answers", f"ct mark {MARK} meta mark set {MARK}", "nft_ct"),
    ]


def routing(version: int, present: str) -> list[list[str]]:
    """Arguments of `ip -4` or `ip -6` that make the routes, where `present` is what `LIST` of that
    version printed: rules, unlike routes, can be there twice."""
    lacking = [rule for rule in _RULES[version] if not _times(rule, present)]
    return [_ROUTE, *(["rule", "add", *rule.split()] for rule in lacking)]


def unrouting(version: int, present: str, routes: str) -> list[list[str]]:
    """The same, to have none of them; `routes` is what `LIST_ROUTES` printed."""
    made = [
        ["rule", "del", *rule.split()]
        for rule in _RULES[version]
        for _ in range(_times(rule, present))
    ]
    return [*made, ["route", "flush", "table", str(ROUTES)]] if routes.strip() else made


def unrouted(version: int, present: str, routes: str) -> list[str]:
    """What is missing of the routes."""
    missing = [
        f"IPv{version}: no routing rule (ip -{version} rule add {rule})"
        for rule in _RULES[version]
        if not _times(rule, present)
    ]
    if "local default dev lo" not in routes:
        missing.append(f"IPv{version}: no route (ip -{version} {' '.join(_ROUTE)})")
    return missing


def _times(rule: str, present: str) -> int:
    return len(re.findall(rf"\b{re.escape(rule)}\b", present))
