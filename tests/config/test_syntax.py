"""Which hosts and ports can be written: whatever is taken can be connected to as it stands."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.syntax import (
    is_authority,
    parse_address,
    parse_listen,
    parse_mode,
    parse_otlp,
    parse_server,
)

# A server's URL -> what is wrong with it, and what to write.
REFUSED = {
    "http://[1.2.3.4]:80": "'1.2.3.4' is not an IPv6 address: write it without brackets",
    "http://[1:2]": "'1:2' is not an IPv6 address",
    "http://[::ffff:1.2.3]": "is not an IPv6 address",
    "http://[::1": 'in brackets: "http://[::1]"',
    "http://[]": 'write "http://',
    "http://[::1]x": 'write "http://',
    "http://::1": 'in brackets: "http://[::1]"',
    "http://::1:8000": 'in brackets: "http://[::1]:8000"',
    "http://[fe80::1%eth0]:80": "zone",
    "http://[fe80::1%25eth0]:80": "zone",
    "http://fe80::1%eth0": "zone",
    "http://1.2.3": "'1.2.3' is not an IPv4 address: write four numbers",
    "http://127.1:80": "is not an IPv4 address",
    "http://1.2.3.4.5": "is not an IPv4 address",
    "http://1.2.3.256": "is not an IPv4 address",
    "http://1.2.3.04": "without leading zeros",
    "http://1.2.3.4.": "is not an IPv4 address",
    "http://2130706433": "is not an IPv4 address",
    "http://0x7f000001": "is not an IPv4 address",
    "http://a.0x1f": "is not an IPv4 address",
    "http://a:0": "nothing can be reached at port 0",
    "http://a:65536": "a port is at most 65535",
    "http://a:4294967376": 'write "http://',
    "http://a:000080": "without leading zeros: 80",
    "http://a:080": "without leading zeros: 80",
    "http://a:": 'write "http://',
    "http://a:-1": 'write "http://',
    "http://a:80:81": 'write "http://',
    "http://a:\uff18\uff10": 'in ASCII: "http://a:80"',
    "http://b\xfccher.example:81": 'in ASCII: "http://xn--bcher-kva.example:81"',
    "http://\u017fhop.example": 'in ASCII: "http://shop.example"',
    "http://u:secret@a": "no user or password",
    "http://a/x": "no path or query",
    "http://a/?x": "no path or query",
    "http://a#x": "no path or query",
    "http://": 'write "http://',
    "http://-a": 'write "http://',
    "http:// a": 'write "http://',
    "http://a\n": 'write "http://',
}


@pytest.mark.parametrize("url", REFUSED)
def test_a_server_that_cannot_be_reached_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_server(url)
    assert REFUSED[url] in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://[::1]:8000", "::1", 8000),
        ("http://[::ffff:1.2.3.4]", "::ffff:1.2.3.4", 80),
        ("http://1.2.3.4:65535", "1.2.3.4", 65535),
        ("HTTP://Shop_1.Example./", "shop_1.example.", 80),
        ("http://1.2.3.a", "1.2.3.a", 80),
        ("http://4.host-1", "4.host-1", 80),
    ],
)
def test_a_server_that_can(url: str, host: str, port: int) -> None:
    assert parse_server(url) == (url[:4].lower(), host, port)


def test_a_server_at_a_unix_socket() -> None:
    assert parse_server("unix:/run/orders.sock") == ("unix", "/run/orders.sock", 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unix:///run/a", 'write "unix:/run/a"'),
        ("unix:run/a", 'write "unix:/run/orders.sock"'),
        ("unix:/run/", 'write "unix:/run/orders.sock"'),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
        ("unix:@abstract", 'write "unix:/run/orders.sock"'),
    ],
)
def test_a_unix_socket_that_is_none(text: str, says: str) -> None:
    for parse in (parse_server, parse_listen):
        with pytest.raises(ValueError, match=re.escape(says)):
            parse(text)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("666", 0o666), ("0600", 0o600)])
def test_a_mode(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "0680", "rw-rw----", "1777", "66", "o660"])
def test_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="three octal digits"):
        parse_mode(text)


@pytest.mark.parametrize("authority", ["[1.2.3.4]:80", "1.2.3:80", "[::1]:080", "a:65536"])
def test_the_other_places_of_hosts_have_the_same_rules(authority: str) -> None:
    with pytest.raises(ValueError):
        parse_server(f"http://{authority}")
    with pytest.raises(ValueError):
        parse_address(authority)
    with pytest.raises(ValueError):
        parse_otlp(f"http://{authority}")


@pytest.mark.parametrize("authority", ["[1.2.3.4]:80", "[::1]:080", "a:65536", "a:0", "[::1"])
def test_what_is_no_host_field(authority: str) -> None:
    assert not is_authority(authority)


LABELS = st.text("0123456789abxX-_.[]:%/@ \u0661\uff11\u017f", max_size=12)


@given(LABELS)
def test_whatever_is_taken_is_a_name_or_an_address(text: str) -> None:
    try:
        host, port = parse_server(f"http://{text}")
    except ValueError:
        return
    assert host.isascii() and 0 < port < 65536
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host:
        ipaddress.IPv6Address(host)
    elif last.isdigit() or last.startswith("0x"):
        ipaddress.IPv4Address(host)
