"""Rules in namespaces of the tests' own: three hosts, applications that know nothing, a relay."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from proxy.config.mesh_model import Mesh, MeshExclude
from proxy.mesh.install import install, lacking, remove
from proxy.mesh.rules import Own, Redirect, redirect
from tests.mesh.hosts import V4, V6, Host, hosts, needs_namespaces
from tests.mesh.relay import OWN, Relay, app, ask, relay

NOBODY = 65534
EXCLUDE = MeshExclude(ports=[2222], users=[], networks=["10.77.0.3/32", "fd77::3/128"])


def has(*commands: str) -> pytest.MarkDecorator:
    lacks = [command for command in commands if shutil.which(command) is None]
    return pytest.mark.skipif(bool(lacks), reason=f"not installed: {', '.join(lacks)}")


WAYS = [
    pytest.param("nft", marks=has("nft")),
    pytest.param("iptables", marks=has("iptables-restore", "ip6tables-restore")),
    pytest.param("tproxy", marks=has("nft")),
]
pytestmark = [needs_namespaces, pytest.mark.parametrize("how", WAYS)]
FAMILIES = pytest.mark.parametrize("family", [V4, V6], ids=["IPv4", "IPv6"])


def wanted(how: str) -> Redirect:
    mesh = Mesh(redirect=how, exclude=EXCLUDE)  # type: ignore[arg-type]
    return redirect(mesh, Own(uid=OWN, gid=OWN), [NOBODY], [9901])


@contextlib.contextmanager
def redirected(how: str, exclude: bool = True) -> Iterator[tuple[Host, Host, Host, Relay]]:
    """`pod` has an application on 8080 and rules; `near` and `far` have servers."""
    with hosts("pod", "near", "far") as (pod, near, far), contextlib.ExitStack() as stack:
        for host, name, port in (
            (pod, "app", 8080),
            (pod, "admin", 9901),
            (near, "near", 80),
            (near, "dns", 53),
            (near, "ssh", 2222),
            (far, "far", 80),
        ):
            stack.enter_context(app(host, name, port))
        came = stack.enter_context(relay(pod, transparent=how == "tproxy"))
        rules = wanted(how)
        pod.inside(lambda: install(rules))
        yield pod, near, far, came


@FAMILIES
def test_connections_go_through_the_sidecar(how: str, family: int) -> None:
    with redirected(how) as (pod, near, _, came):
        own, other = pod.address(family), near.address(family)
        # The application sees its client where the way can show it, and its sidecar where not.
        seen = other if how == "tproxy" else {V4: "127.0.0.1", V6: "::1"}[family]
        assert ask(near, own, 8080) == f"app {seen}"
        assert ask(pod, other, 80) == f"near {own}"
        # Once each: what the relay itself sends does not come to it again.
        assert came.taken == [f"in {own} 8080", f"out {other} 80"]


@FAMILIES
def test_what_is_left_alone_does_not_meet_the_sidecar(how: str, family: int) -> None:
    with redirected(how) as (pod, near, far, came):
        own, other, third = (host.address(family) for host in (pod, near, far))
        loop = {V4: "127.0.0.1", V6: "::1"}[family]
        assert ask(pod, loop, 8080) == f"app {loop}"  # the application itself
        assert ask(pod, own, 8080) == f"app {own}"
        assert ask(pod, other, 2222) == f"ssh {own}"  # a port
        assert ask(pod, third, 80) == f"far {own}"  # a network
        assert ask(pod, other, 53) == f"dns {own}"
        assert ask(pod, other, 80, uid=NOBODY) == f"near {own}"  # a user
        assert ask(pod, other, 80, uid=OWN) == f"near {own}"  # the sidecar's, and its group
        assert ask(pod, other, 80, gid=OWN) == f"near {own}"
        assert ask(near, own, 9901) == f"admin {other}"  # our own port, which others call
        assert ask(near, own, 15001) == "refused"  # is nobody's way out but the application's
        assert came.taken == []


def test_datagrams_are_left_alone(how: str) -> None:
    with redirected(how) as (pod, near, _, came):
        server = near.new_socket(V4, kind=socket.SOCK_DGRAM)
        client = pod.new_socket(V4, kind=socket.SOCK_DGRAM)
        with server, client:
            server.bind((near.v4, 53))
            client.sendto(b"name?", (near.v4, 53))
            assert server.recvfrom(100)[1][0] == pod.v4
        assert came.taken == []


def test_a_server_that_refuses_is_seen_to_refuse(how: str) -> None:
    with redirected(how) as (pod, near, _, came):
        assert ask(pod, near.v4, 81) == "refused"
        assert came.taken == [f"out {near.v4} 81"]


def test_rules_are_made_once_and_removed_cleanly(how: str) -> None:
    with redirected(how) as (pod, near, _, came):
        rules = wanted(how)
        once = everything(pod)
        pod.inside(lambda: install(rules))
        assert everything(pod) == once
        assert pod.inside(lambda: lacking(rules)) == []
        pod.inside(remove)
        assert ask(near, pod.v4, 8080) == f"app {near.v4}"
        assert ask(pod, near.v4, 80) == f"near {pod.v4}"
        assert came.taken == []
        assert pod.inside(lambda: lacking(rules)) != []
        pod.inside(remove)  # nothing is there, which is no error
        assert "spangate" not in everything(pod).lower()
        assert "133" not in pod.run("ip", "rule").stdout


def test_a_dead_sidecar_s_rules_are_removed(how: str) -> None:
    with redirected(how) as (pod, near, _, came):
        came.stop()
        for family in (V4, V6):  # rather than past the sidecar
            assert ask(pod, near.address(family), 80) == "refused"
            assert ask(near, pod.address(family), 8080) == "refused"
        pod.inside(remove)
        assert ask(pod, near.v4, 80) == f"near {pod.v4}"


def test_rules_of_others_stay(how: str) -> None:
    with hosts("pod") as (pod,):
        assert pod.run("nft", "-f", "-", text=THEIRS).returncode == 0
        theirs = ["iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "7"]
        if shutil.which("iptables"):
            assert pod.run(*theirs, "-j", "REDIRECT", "--to-ports", "9").returncode == 0
        before = verdicts(pod)
        rules = wanted(how)
        pod.inside(lambda: install(rules))
        assert len(verdicts(pod)) > len(before)
        pod.inside(remove)
        assert verdicts(pod) == before


def test_another_way_takes_the_place_of_this_one(how: str) -> None:
    other = "nft" if how == "iptables" else "iptables"
    with redirected(how) as (pod, near, _, came):
        rules = wanted(other)
        pod.inside(lambda: install(rules))
        assert pod.inside(lambda: lacking(rules)) == []
        assert "133" not in pod.run("ip", "rule").stdout
        assert ask(pod, near.v4, 80) == f"near {pod.v4}"
        assert came.taken == [f"out {near.v4} 80"]
        mine = wanted(how)
        assert pod.inside(lambda: lacking(mine)) != []


def test_what_has_been_changed_is_told(how: str) -> None:
    with redirected(how) as (pod, *_):
        rules = wanted(how)
        more = replace(rules, ports=(53, 2222, 3306))
        told = pod.inside(lambda: lacking(more))
        assert any("3306" in line for line in told)
        assert any("does not belong there" in line for line in told)


def test_what_is_for_others_is_theirs(how: str) -> None:
    """`pod` routes between its neighbours and an address behind it; none of that is its own."""
    with redirected(how) as (pod, near, far, came):
        assert far.run("ip", "address", "add", "10.99.0.1/32", "dev", "lo").returncode == 0
        assert pod.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1").returncode == 0
        assert pod.run("sysctl", "-q", "-w", "net.ipv4.conf.all.send_redirects=0").returncode == 0
        assert pod.run("ip", "route", "add", "10.99.0.1", "via", far.v4).returncode == 0
        assert near.run("ip", "route", "add", "10.99.0.1", "via", pod.v4).returncode == 0
        assert ask(near, "10.99.0.1", 80) == f"far {near.v4}"
        assert came.taken == []


THEIRS = """
table inet theirs {
  chain c { type filter hook output priority 0; tcp dport 1 drop; }
}
"""


def everything(host: Host) -> str:
    """All rules of a host."""
    return host.run("nft", "list", "ruleset").stdout


def verdicts(host: Host) -> list[str]:
    """The lines of it that do something."""
    return [line for line in everything(host).splitlines() if re.search("redirect|drop", line)]
