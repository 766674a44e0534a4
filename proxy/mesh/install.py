"""Rules in the kernel of this network namespace: made, removed, compared with what is wanted.

The kernel is all that remembers: whatever made the rules may have crashed, and whatever removes
them needs no file. Only the words of rules are other modules' (`nft.py`, `iptables.py`,
`tproxy.py`); this one runs the commands that take them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from proxy.mesh import iptables, nft, tproxy
from proxy.mesh.host import Done, found, has_ipv6, lacking_capabilities, lacking_command, run
from proxy.mesh.rules import Redirect, Rule, absent

NFT_FILE = ["nft", "-f", "-"]
NFT_CHECK = ["nft", "-c", "-f", "-"]  # the kernel judges, and changes nothing
_COMMANDS = {
    "nft": ("nft",),
    "tproxy": ("nft", "ip"),
    "iptables": ("iptables-save", "iptables-restore"),
}
_FAMILIES = {4: "iptables", 6: "ip6tables"}


class CannotRedirect(Exception):
    """Rules that could not be made or removed; `problems` says what is missing, and why, and
    `removed` what was removed all the same."""

    def __init__(self, problems: Sequence[str], removed: Sequence[str] = ()) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)
        self.removed = list(removed)


def install(redirect: Redirect) -> None:
    """Have the rules that are wanted and no others of ours, whatever was there. CannotRedirect.

    Those of another way go last: meanwhile nothing passes the sidecar by, and the first NAT of a
    connection is its only one.
    """
    _demand(_unable(redirect.how))
    if redirect.how == "iptables":
        for version in _versions():
            present = _readable(version)
            script = iptables.script(iptables.rules(redirect, version), present)
            _succeed(_restore(version, script), f"{_FAMILIES[version]}-restore")
        _remove_nft()
    else:
        _install_nft(redirect)
        for version in _FAMILIES:
            _remove_iptables(version)
    if redirect.how != "tproxy":
        for version in _versions():
            _unroute(version)


def _install_nft(redirect: Redirect) -> None:
    if redirect.how == "tproxy":  # first, or what is handed over would not arrive
        for version in _versions():
            _route(version, tproxy.routing(version, _ip(version, tproxy.LIST)))
    rules = _nft_rules(redirect)
    done = run(NFT_FILE, nft.script(rules))
    if done.code:
        raise CannotRedirect(refused(rules) or [f"nft: {done.why}"])


def remove() -> list[str]:
    """Have no rules of ours, of whatever kind; what there was of them. CannotRedirect."""
    missing = lacking_capabilities(["CAP_NET_ADMIN"])
    _demand(
        [f"{name} is needed to remove rules: run it as root, or give it that" for name in missing]
    )
    steps: list[Callable[[], str]] = [_remove_nft]
    steps += [partial(_unroute, version) for version in _versions()]
    steps += [partial(_remove_iptables, version) for version in _FAMILIES]
    gone, problems = [], []
    for step in steps:
        try:
            gone.append(step())
        except CannotRedirect as error:
            problems += error.problems
    removed = [what for what in gone if what]
    if problems:
        raise CannotRedirect(problems, removed)
    return removed


def lacking(redirect: Redirect) -> list[str]:
    """What is missing of the rules that are wanted, and why; [] = all is there."""
    unable = _unable(redirect.how)
    if unable:
        return unable
    if redirect.how == "iptables":
        return [
            line
            for version in _versions()
            for line in absent(
                iptables.rules(redirect, version), _readable(version), f"{_FAMILIES[version]} "
            )
        ]
    rules = _nft_rules(redirect)
    missing = absent(rules, _listed(), "nft ")
    if redirect.how == "tproxy":
        for version in _versions():
            missing += tproxy.unrouted(version, *_routes(version))
    return [*refused(rules), *missing] if missing else []


def refused(rules: Sequence[Rule]) -> list[str]:
    """Rules that the kernel would not take, with the module that it lacks."""
    found_bad = []
    for rule in rules:
        done = run(NFT_CHECK, nft.script([rule]))
        if done.code:
            module = f": kernel module {rule.needs} is not there" if rule.needs else ""
            found_bad.append(f"the kernel refuses {rule.text!r}{module} ({done.why})")
    return found_bad


def _unable(how: str) -> list[str]:
    """What this process or host lacks to read and write rules at all."""
    commands = list(_COMMANDS[how])
    if how == "iptables" and has_ipv6():
        commands += ["ip6tables-save", "ip6tables-restore"]
    lacks = [line for command in commands for line in lacking_command(command)]
    for name in lacking_capabilities(["CAP_NET_ADMIN"]):
        lacks.append(f"{name} is needed to read and to make rules: run it as root, or give it that")
    return lacks


def _demand(problems: list[str]) -> None:
    if problems:
        raise CannotRedirect(problems)


def _nft_rules(redirect: Redirect) -> list[Rule]:
    return tproxy.rules(redirect) if redirect.how == "tproxy" else nft.rules(redirect)


def _versions() -> tuple[int, ...]:
    return (4, 6) if has_ipv6() else (4,)


def _succeed(done: Done, what: str) -> bytes:
    if done.code:
        raise CannotRedirect([f"{what}: {done.why}"])
    return done.out


def _listed() -> list[tuple[str, str]]:
    done = run(nft.LIST)
    return [] if done.code else nft.listed(done.out)  # there is no such table


def _remove_nft() -> str:
    """What it has removed, "" = there was nothing; so do those below."""
    if not (found("nft") and _has_table()):
        return ""
    _succeed(run(NFT_FILE, nft.REMOVE), "nft")
    return f"nft table {nft.TABLE}"


def _has_table() -> bool:
    return not run(nft.LIST).code


def _ip(version: int, words: Sequence[str]) -> str:
    """What `ip` prints; a table of routes that is not there is an empty one."""
    return run(["ip", f"-{version}", *words]).out.decode(errors="replace")


def _route(version: int, orders: list[list[str]]) -> None:
    for order in orders:
        _succeed(run(["ip", f"-{version}", *order]), f"ip -{version} {' '.join(order)}")


def _unroute(version: int) -> str:
    orders = tproxy.unrouting(version, *_routes(version)) if found("ip") else []
    if not orders:
        return ""
    _route(version, orders)
    return f"routing rules and routing table {tproxy.ROUTES} of IPv{version}"


def _routes(version: int) -> tuple[str, str]:
    return _ip(version, tproxy.LIST), _ip(version, tproxy.LIST_ROUTES)


def _saved(version: int) -> str:
    command = f"{_FAMILIES[version]}-save"
    return _succeed(run([command]), command).decode(errors="replace")


def _readable(version: int) -> list[tuple[str, str]]:
    """Our rules. CannotRedirect where iptables cannot read what is there: what it would make,
    `remove` could not find."""
    text = _saved(version)
    if iptables.is_strange(text):
        command = _FAMILIES[version]
        raise CannotRedirect(
            [f'{command} cannot read the table nat, which nft has changed: redirect = "nft"']
        )
    return iptables.listed(text)[0]


def _restore(version: int, script: str) -> Done:
    command = f"{_FAMILIES[version]}-restore"
    # Legacy ones have a lock that others may hold.
    return run([command, "--noflush", "-w", "5"], script)


def _remove_iptables(version: int) -> str:
    family = _FAMILIES[version]
    if not (found(f"{family}-save") and found(f"{family}-restore")):
        return ""
    text = _saved(version)
    if iptables.is_strange(text):  # since, by somebody else; what we made is known all the same
        if _restore(version, iptables.removal(*iptables.listed(iptables.AS_MADE))).code:
            return ""  # nothing of ours is there
    elif script := iptables.removal(*iptables.listed(text)):
        _succeed(_restore(version, script), f"{family}-restore")
    else:
        return ""
    return f"{family} chains {' and '.join(iptables.CHAINS)}"
