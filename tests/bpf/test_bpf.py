"""Instructions, and what the kernel tells of connections."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bpf import places
from proxy.bpf.code import R0, R1, Code
from proxy.bpf.destination import DESTINATION, destination, packed


def test_instructions_are_eight_bytes_with_jumps_by_places() -> None:
    code = Code()
    code.load(R0, R1, 24)
    code.if_equal(R0, 0xFFFFFFFF, "end")
    code.map(R1, 7)  # two places
    code.label("end")
    code.exit()
    assert code.assemble() == (
        bytes.fromhex("6110180000000000")
        + bytes.fromhex("16000200ffffffff")
        + bytes.fromhex("1811000007000000 0000000000000000")
        + bytes.fromhex("9500000000000000")
    )


def test_a_jump_to_nowhere_is_no_program() -> None:
    code = Code()
    code.jump("nowhere")
    with pytest.raises(KeyError):
        code.assemble()


@pytest.mark.parametrize(
    ("address", "port"), [("10.1.2.3", 80), ("fd77::2", 65535), ("255.255.255.255", 1)]
)
def test_a_destination_comes_back_as_it_was_kept(address: str, port: int) -> None:
    kept = packed(ip_address(address)), port.to_bytes(2, "big")
    assert destination(DESTINATION.pack(*kept)) == (address, port)


MOUNTS = r"""22 1 0:5 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw
23 1 0:6 / /sys/fs/cgroup/memory rw - cgroup cgroup rw
24 1 0:7 / /mnt/with\040blank rw master:1 - cgroup2 cgroup2 rw
"""


def test_mounts_of_a_kind_are_found() -> None:
    assert places.mounted(MOUNTS, "cgroup2") == ["/mnt/with blank"]
    assert places.mounted(MOUNTS, "bpf") == []


@given(st.text())
def test_whatever_is_mounted_is_read_without_falling(text: str) -> None:
    assert isinstance(places.mounted(text, "cgroup2"), list)
