"""What is read of this host."""

from __future__ import annotations

import os

import pytest

from proxy.bpf.places import network
from proxy.mesh import addresses, cgroups
from proxy.mesh.host import capabilities, lacking_command, run
from proxy.mesh.people import group_number, user_number


def test_a_command_s_failure_is_one_line() -> None:
    done = run(["sh", "-c", "echo one >&2; echo two >&2; exit 3"])
    assert (done.code, done.why) == (3, "one")
    assert run(["sh", "-c", "exit 4"]).why == "exit code 4"
    assert run(["cat"], "text").out == b"text"


def test_a_command_that_is_not_there_is_told_with_its_package() -> None:
    assert run(["no-such-command"]).code == 127
    assert "apt-get install iptables" in lacking_command("no-such-command")[0]
    assert lacking_command("sh") == []


@pytest.mark.parametrize(
    ("status", "bits"),
    [("CapPrm:\t00ff\nCapEff:\t0000000000001000\n", 1 << 12), ("Name:\tx\n", 0), ("", 0)],
)
def test_capabilities_are_the_effective_ones(status: str, bits: int) -> None:
    assert capabilities(status) == bits


@pytest.mark.parametrize("number", [user_number, group_number])
def test_users_are_known_by_name_and_number(number: object) -> None:
    assert number("root") == 0  # type: ignore[operator]
    assert number("1337") == 1337  # type: ignore[operator]
    for wrong in ("no such user", "-1", "4294967295", "", "\0", "١"):
        with pytest.raises(ValueError, match="no"):
            number(wrong)  # type: ignore[operator]


TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.77.0.0
        /24 link UNICAST
     |-- 10.77.0.1
        /32 host LOCAL
     |-- 10.77.0.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
Local:
     |-- 10.77.0.1
        /32 host LOCAL
"""


def test_own_addresses_are_read() -> None:
    assert addresses.own_v4(TRIE) == ["10.77.0.1", "127.0.0.1"]
    lines = "fd770000000000000000000000000001 02 40 00 80     eth0\nhalf\n"
    assert addresses.own_v6(lines) == ["fd77::1"]
    assert [str(net) for net in addresses.own() if net.version == 4].count("127.0.0.1/32") == 1


TCP = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:3A99 00000000:0000 0A 00000000:00000000
   1: 0100007F:3A9A 0100007F:3A99 01 00000000:00000000
   2: 00000000000000000000000001000000:3A9B 00000000000000000000000000000000:0000 0A 00000000
"""


@pytest.mark.parametrize(
    ("port", "listens"), [(15001, True), (15002, False), (15003, True), (1, False)]
)
def test_who_listens_is_read(port: int, listens: bool) -> None:
    assert addresses.is_listening(TCP, port) is listens


def test_the_own_cgroup_is_that_of_version_2() -> None:
    assert cgroups.own_place("4:memory:/a\n0::/user.slice/x\n") == "user.slice/x"
    assert cgroups.own_place("0::/\n") == ""
    assert cgroups.own_place("4:memory:/a\n") == ""
    assert network() == os.stat("/proc/self/ns/net").st_ino
