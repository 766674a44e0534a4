"""The grammar of lists to which each proxy adds a hop: what is written is what is read."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http import hops

VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), min_size=1, max_size=8)
ELEMENTS = st.dictionaries(
    st.sampled_from(["for", "by", "host", "proto", "x-y"]), VALUES, min_size=1
)


def written(elements: list[dict[str, str]]) -> bytes:
    lines = (";".join(hops.parameter(n, v) for n, v in e.items()) for e in elements)
    return ", ".join(lines).encode("latin-1")


@given(st.lists(ELEMENTS, max_size=4))
def test_what_is_written_is_read_again(elements: list[dict[str, str]]) -> None:
    read = [hops.element(member) for member in hops.members(written(elements))]
    assert read == elements[::-1]


@given(st.binary(max_size=30), ELEMENTS)
def test_whatever_stands_before_an_element_does_not_change_it(
    before: bytes, element: dict[str, str]
) -> None:
    members = hops.members(before + b", " + written([element]))
    assert hops.element(members[0]) == element


@given(st.ip_addresses(), st.sampled_from(["", ":1", ":65535", ":_hidden"]), st.booleans())
def test_an_address_is_found_with_its_port_and_in_quotes(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: str, quoted: bool
) -> None:
    node = f"[{address}]" if address.version == 6 else str(address)
    text = f'"{node}{port}"' if quoted else node + port
    mapped = getattr(address, "ipv4_mapped", None)
    assert hops.address(text) == str(mapped or address)
    assert hops.address(hops.node(text)) == str(mapped or address)


@given(st.text(max_size=12))
def test_nothing_else_is_an_address(text: str) -> None:
    found = hops.address(text)
    if found:
        ipaddress.ip_address(found)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (None, []),
        (b"", []),
        (b" , ,,", []),
        (b"a,b ,\tc", ["c", "b", "a"]),
        (b'"a,b",c', ["c", '"a,b"']),
        (b'"a\\",b",c', ["c", '"a\\",b"']),
        (b'"a\\\\",b', ["b", '"a\\\\"']),
        (b'a",b', ["b", 'a"']),
    ],
)
def test_members_from_the_right(value: bytes | None, members: list[str]) -> None:
    assert hops.members(value) == members
