"""`discover`, [dns] and discovery files: what is taken, and what is said of what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.discover import Discover, may_be, parse_discover, parse_resolver, server_name
from proxy.config.discover_file import parse_servers
from proxy.config.load import load, loads
from proxy.errors import ConfigError

GOOD = {
    "dns://orders.internal:8000": Discover("dns", "http", "orders.internal", 8000),
    "DNS://Orders.internal": Discover("dns", "http", "orders.internal", 80),
    "dns+https://orders": Discover("dns", "https", "orders", 443),
    "dns+tcp://db.internal:5432": Discover("dns", "tcp", "db.internal", 5432),
    "srv://_http._tcp.orders.internal": Discover("srv", "http", "_http._tcp.orders.internal"),
    "srv://_https._tcp.a.b": Discover("srv", "https", "_https._tcp.a.b"),
    "srv+https://_api._tcp.a.b": Discover("srv", "https", "_api._tcp.a.b"),
    "srv+tcp://_pg._tcp.a.b": Discover("srv", "tcp", "_pg._tcp.a.b"),
    "file:///etc/orders.json": Discover("file", path="/etc/orders.json"),
    "file://localhost/etc/a.json": Discover("file", path="/etc/a.json"),
    "file:orders.json": Discover("file", path="orders.json"),
    "file://etc/a%20b.json": Discover("file", path="etc/a b.json"),
}


@pytest.mark.parametrize("text", GOOD)
def test_ways_that_are_known(text: str) -> None:
    assert parse_discover(text) == GOOD[text]


BAD = [
    ("orders.internal:8000", "is not a way to discover servers", 'write "dns://orders'),
    ("consul://orders", "consul:// is not a way to discover servers", 'write "dns://'),
    (
        "http://a:1",
        "http:// is a server",
        'write servers = ["http://a:1"], or discover = "dns://a:1"',
    ),
    (
        "dns+h2://a:1",
        "says no scheme of servers",
        "write one of dns+http://, dns+https://, dns+tcp://",
    ),
    ("dns://10.0.0.1:80", "an address needs no lookup", 'write servers = ["http://10.0.0.1:80"]'),
    ("dns://[::1]:80", "an address needs no lookup", 'write servers = ["http://[::1]:80"]'),
    ("dns://a/path", "a server URL has no path", ""),
    ("dns://a..b:80", "there is nothing between two of its dots", ""),
    ("dns+tcp://db", "has no port", "write one, such as"),
    ("dns://a:0", "nothing can be reached at port 0", ""),
    ("srv://_http._tcp.a:80", "SRV records say the ports", 'write "srv://_http._tcp.a"'),
    ("srv://orders", "names no service", 'write "srv://_http._tcp.orders"'),
    ("file://", "names no file", 'write "file:///etc/orders.json"'),
    ("file:///etc/", "names no file", 'write "file:///etc/orders.json"'),
]


def config(discover: str, more: str = "", to: str = "") -> str:
    return f"""
[[route]]
to = "orders"
[upstream.orders]
discover = "{discover}"
{more}
"""


@pytest.mark.parametrize("text, message, remedy", BAD)
def test_ways_that_are_not(text: str, message: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(config(text), "f.toml", {})
    [problem] = caught.value.problems
    assert str(problem).startswith("f.toml:5: upstream.orders.discover: ")
    assert message in str(problem)
    assert remedy in str(problem)


@given(st.text(max_size=40).map(lambda rest: f"dns://{rest}") | st.text(max_size=60))
def test_whatever_is_written_is_parsed_or_refused(text: str) -> None:
    try:
        parse_discover(text)
    except ValueError as error:
        assert str(error)


def test_discover_alone_beside_servers_and_neither() -> None:
    assert loads(config("dns://orders:80"), "f", {}).warnings == []
    assert loads(config("dns://orders:80", 'servers = ["http://a"]'), "f", {}).warnings == []
    with pytest.raises(ConfigError, match="this upstream has no servers"):
        loads(config(""), "f", {})


STREAM = """
[[listen]]
address = ":5432"
protocol = "tcp"
to = "db"
[upstream.db]
discover = "{}"
"""


def test_bytes_and_answers_are_told_apart() -> None:
    assert loads(STREAM.format("dns+tcp://db:5432"), "f", {}).warnings == []
    with pytest.raises(ConfigError, match=r'bytes are wanted .*write "dns\+tcp://db:5432"'):
        loads(STREAM.format("dns://db:5432"), "f", {})
    with pytest.raises(ConfigError, match=r'answers are wanted .*write "dns://a:1"'):
        loads(config("dns+tcp://a:1"), "f", {})


def test_a_file_is_relative_to_the_configuration_and_may_come_later(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(config("file:orders.json"))
    [warning] = load(str(file), {}).warnings
    assert f"{tmp_path / 'orders.json'} cannot be read: No such file" in str(warning)
    assert "upstream.orders.discover" in str(warning)
    assert "write it, or correct the path" in str(warning)
    (tmp_path / "orders.json").write_text('["http://a"')
    [warning] = load(str(file), {}).warnings
    assert "it is not JSON, or half written" in str(warning)
    (tmp_path / "orders.json").write_text('["http://a"]')
    assert load(str(file), {}).warnings == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.0.0.1:53", ("127.0.0.1", 53)),
        ("10.0.0.2", ("10.0.0.2", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
    ],
)
def test_dns_servers(text: str, expected: tuple[str, int]) -> None:
    assert parse_resolver(text) == expected


@pytest.mark.parametrize("text", ["ns.internal", "1.2.3.4:0", "1.2.3.4:x", "", "1.2.3.4:99999"])
def test_what_is_no_dns_server(text: str) -> None:
    with pytest.raises(ConfigError, match=r'dns.servers\[0\]: .*\(write "10.0.0.2:53"'):
        loads(config("dns://a", f'[dns]\nservers = ["{text}"]'), "f", {})


def test_the_name_of_certificates_is_the_one_that_was_asked_for() -> None:
    assert server_name("dns+https://orders.internal") == "orders.internal"
    assert server_name("srv://_https._tcp.orders.internal.") == "orders.internal"
    assert [server_name(text) for text in ("", "dns://a", "file:a")] == ["", "", ""]
    assert may_be("file:a", "https")
    assert not may_be("", "http")


A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000"


@pytest.mark.parametrize(
    "text, servers",
    [
        (f'["{A}", "{B}"]', {A: 1, B: 1}),
        (f'{{"servers": {{"{A}": 90, "{B}": 10}}}}', {A: 90, B: 10}),
        (f'{{"servers": ["{A}"]}}', {A: 1}),
        (f'\ufeff["{A}"]\n', {A: 1}),
        ("[]", {}),
        ('{"servers": {}}', {}),
    ],
)
def test_files(text: str, servers: dict[str, int]) -> None:
    assert parse_servers(text.encode()) == servers


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        (f'["{A}"', "half written"),
        ("\udcff", "half written"),
        ("[NaN]", "NaN is no JSON"),
        ("[" * 100_000, "it cannot be read"),
        ("7", "neither a list of URLs nor servers by weight"),
        ('{"server": {}}', "neither a list"),
        ('{"servers": {}, "weights": {}}', "neither a list"),
        ('{"servers": 7}', "neither a list"),
        ("[7]", "7 in its list is no URL"),
        (f'["{A}", "{A}"]', "is in it twice: give weights"),
        (f'{{"servers": {{"{A}": 1, "{A}": 2}}}}', "is in it twice: leave one"),
        (f'["{A}", "{A}/"]', "is the same server as"),
        (f'{{"servers": {{"{A}": 0}}}}', "is 0: write a whole number from 1"),
        (f'{{"servers": {{"{A}": true}}}}', "is True: write"),
        (f'{{"servers": {{"{A}": 1.5}}}}', "is 1.5: write"),
        (f'{{"servers": {{"{A}": "9"}}}}', "is '9': write"),
        ('["ftp://a"]', "ftp:// is not a way to reach an upstream"),
        ('["10.0.0.1:8000"]', 'write "http://10.0.0.1:8000"'),
        (json.dumps([f"http://h{n}" for n in range(10_001)]), "10000 are the most"),
    ],
)
def test_files_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse_servers(text.encode(errors="surrogateescape"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


URLS = st.lists(st.integers(1, 65535).map(lambda port: f"http://a:{port}"), unique=True)
FILES = URLS | st.dictionaries(st.sampled_from([A, B]), st.integers(1, 99)).map(
    lambda servers: {"servers": servers}
)


@given(FILES, st.booleans(), st.data())
def test_no_beginning_of_a_file_is_a_file(made: object, wide: bool, data: st.DataObject) -> None:
    text = json.dumps(made, indent=2 if wide else None).encode()
    assert len(parse_servers(text)) == len(made["servers"] if isinstance(made, dict) else made)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="it is"):
        parse_servers(text[: data.draw(st.integers(0, len(text) - 1))])


@given(
    st.binary(max_size=200)
    | st.recursive(st.integers() | st.text(), st.lists).map(lambda made: json.dumps(made).encode())
)
def test_whatever_is_in_it_is_read_or_refused(data: bytes) -> None:
    try:
        assert all(weight > 0 for weight in parse_servers(data).values())
    except ValueError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("url", ["dns://orders:80", "srv://_http._tcp.a", "file:///etc/a.json"])
def test_what_is_discovered_is_no_server(url: str) -> None:
    with pytest.raises(ConfigError, match=f'write discover = "{re.escape(url)}"'):
        loads(f'[[route]]\nto = "u"\n[upstream.u]\nservers = ["{url}"]\n', "f", {})
