"""What is redirected, and the words of each backend; pure."""

from __future__ import annotations

import string
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.mesh_model import Mesh, MeshExclude
from proxy.mesh import iptables, nft, tproxy
from proxy.mesh.rules import Own, Redirect, Rule, absent, port_of, redirect


def made(mesh: Mesh | None = None, uid: int | None = 1337, gid: int | None = None) -> Redirect:
    return redirect(mesh or Mesh(), Own(uid, gid), [5], [9901])


@pytest.mark.parametrize(
    ("address", "port"), [(":15006", 15006), ("127.0.0.1:15001", 15001), ("[::1]:1", 1)]
)
def test_the_port_of_an_address(address: str, port: int) -> None:
    assert port_of(address) == port


@pytest.mark.parametrize("address", ["", "15006:", ":0", ":65536", "unix:/x", ":١٥", "::1"[:-1]])
def test_an_address_without_a_port_is_no_aim(address: str) -> None:
    with pytest.raises(ValueError, match="no port"):
        port_of(address)


def test_the_sidecar_and_dns_are_always_left_alone() -> None:
    got = made(Mesh(exclude=MeshExclude(ports=[22])), uid=1337, gid=7)
    assert got.uids == (5, 1337)
    assert got.gids == (7,)
    assert got.ports == (22, 53)
    assert got.own_ports == (9901, 15001, 15006)


def test_networks_that_lie_in_others_are_one() -> None:
    networks = ["10.1.2.3", "10.1.0.0/16", "fd00::/8", "fd00::1", "192.168.0.1/24"]
    got = made(Mesh(exclude=MeshExclude(networks=networks)))
    assert [str(net) for net in got.networks] == ["10.1.0.0/16", "192.168.0.0/24", "fd00::/8"]


def test_a_network_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/33"):
        made(Mesh(exclude=MeshExclude(networks=["10.0.0.0/33"])))


RULES = [Rule("a", "one", "x"), Rule("a", "two", "y"), Rule("b", "three", "z")]
HAS = [(rule.chain, rule.label) for rule in RULES]


@pytest.mark.parametrize(
    ("present", "told"),
    [
        (HAS, []),
        ([HAS[2], HAS[0], HAS[1]], []),  # chains come in any order
        ([HAS[1], HAS[0], HAS[2]], ["not in their order"]),
        (HAS[1:], ["a: no rule for one (x)"]),
        ([], ["none of the 3 rules"]),
        ([*HAS, ("b", "")], ["b: a rule that does not belong there (of somebody else)"]),
        ([*HAS, HAS[0]], ["a: a rule that does not belong there"]),
        ([("a", RULES[0].label + "!"), *HAS[1:]], ["no rule for one", "does not belong there"]),
    ],
)
def test_rules_that_differ_are_told(present: list[tuple[str, str]], told: list[str]) -> None:
    got = absent(RULES, present, "nft ")
    assert len(got) == len(told)
    for line, part in zip(got, told, strict=True):
        assert line.startswith("nft ") or part.startswith("not in")
        assert part in line


def test_a_rule_that_says_something_else_has_another_label() -> None:
    labels = {Rule("a", "one", "x").label, Rule("a", "one", "y").label, Rule("b", "one", "x").label}
    assert len(labels) == 3


@pytest.mark.parametrize("backend", [nft.rules, tproxy.rules, lambda r: iptables.rules(r, 4)])
def test_the_first_rules_leave_alone_and_the_last_takes(backend: object) -> None:
    rules: list[Rule] = backend(made())  # type: ignore[operator]
    chains: dict[str, list[str]] = {}
    for rule in rules:
        chains.setdefault(rule.chain, []).append(rule.text)
    for chain in ("output", "SPANGATE_OUTPUT"):
        if chain in chains:
            *leave, take = chains[chain]
            assert all("return" in text.lower() for text in leave)
            assert "lo" in leave[0]
            assert "redirect" in take.lower() and "15001" in take


def test_one_version_s_networks_are_not_the_other_s() -> None:
    got = made(Mesh(exclude=MeshExclude(networks=["10.0.0.0/8", "fd00::/8"])))
    four, six = (" ".join(r.text for r in iptables.rules(got, v)) for v in (4, 6))
    assert "10.0.0.0/8" in four and "fd00" not in four
    assert "fd00::/8" in six and "10.0" not in six


def test_many_ports_are_as_many_rules_as_multiport_wants() -> None:
    got = made(Mesh(exclude=MeshExclude(ports=list(range(1, 41)))))
    texts = [
        r.text for r in iptables.rules(got, 4) if r.chain == iptables.OUT and "--dports" in r.text
    ]
    assert [text.count(",") + 1 for text in texts] == [15, 15, 11]  # and 53


def test_labels_are_no_more_than_kernels_take() -> None:
    got = made(Mesh(exclude=MeshExclude(networks=["fd00:1111:2222:3333:4444:5555:6666:7777/128"])))
    rules = [*nft.rules(got), *tproxy.rules(got), *iptables.rules(got, 6)]
    assert max(len(rule.label) for rule in rules) < 128
    assert not [rule for rule in rules if set(rule.label) & set("\"'\\\n")]


def test_jumps_that_are_there_are_made_once() -> None:
    rules = iptables.rules(made(), 4)
    jumps = [(rule.chain, rule.label) for rule in rules if rule.what == "the jump"]
    script = iptables.script(rules, jumps)
    for chain in ("OUTPUT", "PREROUTING"):
        assert script.count(f"-D {chain} ") == script.count(f"-A {chain} ") == 1
    assert "-D" not in iptables.script(rules, [])


def test_nothing_is_removed_where_nothing_is() -> None:
    assert iptables.removal([], ["PREROUTING", "OUTPUT", "DOCKER"]) == ""
    assert tproxy.unrouting(4, "0:\tfrom all lookup local\n", "") == []


SAVED = f"""# Generated by iptables-save
*mangle
:SPANGATE_OUTPUT - [0:0]
-A SPANGATE_OUTPUT -j DROP
COMMIT
*nat
:OUTPUT ACCEPT [0:0]
:SPANGATE_OUTPUT - [0:0]
-A OUTPUT -m comment --comment "it's theirs -j SPANGATE_OUTPUT
-A OUTPUT -p tcp -m comment --comment "spangate 0123abcd the jump" -j SPANGATE_OUTPUT
-A OUTPUT -p udp -j DNAT
-A SPANGATE_OUTPUT -o lo -m comment --comment "{RULES[0].label}" -j RETURN
-A SPANGATE_OUTPUT -j ACCEPT
COMMIT
"""


def test_what_iptables_has_saved_is_read() -> None:
    rules, chains = iptables.listed(SAVED)
    assert rules == [
        ("OUTPUT", "spangate 0123abcd the jump"),
        ("SPANGATE_OUTPUT", RULES[0].label),
        ("SPANGATE_OUTPUT", ""),
    ]
    assert chains == ["OUTPUT", "SPANGATE_OUTPUT"]
    removal = iptables.removal(rules, chains).splitlines()
    assert removal[1] == (
        '-D OUTPUT -p tcp -m comment --comment "spangate 0123abcd the jump" -j SPANGATE_OUTPUT'
    )
    assert removal[2:] == [":SPANGATE_OUTPUT - [0:0]", "-X SPANGATE_OUTPUT", "COMMIT"]


@given(st.text(alphabet=string.printable))
def test_whatever_is_saved_is_read_without_falling(text: str) -> None:
    rules, chains = iptables.listed("*nat\n" + text)
    assert iptables.removal(rules, chains) is not None


@pytest.mark.parametrize("answer", [b"[]", b"{}", b"", b'{"nftables": 1}', b"\xff"])
def test_what_is_no_answer_of_nft_s_is_told(answer: bytes) -> None:
    with pytest.raises(ValueError):
        nft.listed(answer)


def test_routes_are_asked_for_once() -> None:
    rules = (
        "0:\tfrom all lookup local \n32764:\tfrom 127.0.0.0/8 iif lo lookup 133 \n"
        "32765:\tfrom all fwmark 0x539 lookup 133 \n32766:\tfrom all fwmark 0x539 lookup 1337 \n"
    )
    route = "local default dev lo scope host \n"
    assert [order[0] for order in tproxy.routing(4, rules)] == ["route"]
    assert tproxy.unrouted(4, rules, route) == []
    assert tproxy.unrouting(4, rules, route) == [
        ["rule", "del", "fwmark", "0x539", "lookup", "133"],
        ["rule", "del", "from", "127.0.0.0/8", "iif", "lo", "lookup", "133"],
        ["route", "flush", "table", "133"],
    ]
    assert len(tproxy.routing(6, "")) == 2
    assert len(tproxy.unrouted(6, "", "")) == 2


def test_all_of_a_version_can_be_left_alone() -> None:
    networks = [ip_network("0.0.0.0/0")]
    got = made(Mesh(exclude=MeshExclude(networks=[str(net) for net in networks])))
    assert "meta nfproto ipv4 return" in nft.script(nft.rules(got))
