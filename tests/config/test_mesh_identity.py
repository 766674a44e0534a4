"""[mesh] identity and allow: what could not work is told with its place and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.config.material import MESH, Certified, Material, pair
from proxy.config.mesh_identity import Ca, parse_ca, who
from proxy.config.spiffe import parse
from proxy.config.wire import Unpacker, pack
from proxy.errors import ConfigError

MESH_TABLE = """
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
{}
[[route]]
path = "/*"
respond = 200
"""
LOCAL = 'identity = { ca = "local:///ca" }\n'


def told(said: str, more: str = "") -> list[str]:
    try:
        problems = loads(MESH_TABLE.format(said) + more, "routes.toml", {}).warnings
    except ConfigError as error:
        problems = error.problems
    return [str(p).partition("routes.toml:")[2] for p in problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local:///var/lib/ca", Ca("local", "/var/lib/ca")),
        ("files:///etc/certs", Ca("files", "/etc/certs")),
        ("spiffe:///run/agent.sock", Ca("spiffe", "/run/agent.sock")),
    ],
)
def test_sources(text: str, expected: Ca) -> None:
    assert parse_ca(text) == expected


@given(st.text())
def test_any_text_is_a_source_or_a_value_error(text: str) -> None:
    try:
        found = parse_ca(text)
    except ValueError as error:
        assert str(error)
    else:
        assert text == f"{found.kind}://{found.path}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('identity = { ca = "vault:///x" }', "identity.ca: 'vault:///x' is no source of identit"),
        ('identity = { ca = "local://ca" }', "identity.ca: 'local://ca' has no whole path"),
        ("identity = {}", "identity.ca: '' is no source of identities"),
        ('identity = { ca = "local:///a", domain = "A" }', "identity.domain: 'A': trust domains"),
        ('identity = { ca = "local:///a", id = "x" }', "identity.id: 'x' is no SPIFFE ID"),
        ('identity = { ca = "local:///a", id = "spiffe://m" }', "identity.id: it names a trust do"),
        (
            'identity = { ca = "local:///a", id = "spiffe://m/a", domain = "n" }',
            "identity.id: 'spiffe://m/a' is not of the trust domain 'n'",
        ),
        ('identity = { ca = "local:///a", ttl = "2d" }', "identity.ttl: 172800 s is not between"),
        ('identity = { ca = "local:///a", ttl = "1s" }', "identity.ttl: 1 s is not between"),
        (LOCAL + 'allow = [{ from = "shop" }]', "allow[0].from: 'shop' is no SPIFFE ID"),
        (LOCAL + 'allow = [{ from = "spiffe://m/a*" }]', "allow[0].from: 'spiffe://m/a*' is no S"),
        (LOCAL + 'allow = [{}, { path = "orders" }]', "allow[1].path: 'orders' must begin with"),
        ('allow = [{ from = "spiffe://m/*" }]', "allow[0].from: nobody can show an identity"),
        ('mtls = "strict"', "mtls: nobody can show an identity to who has none"),
    ],
)
def test_what_could_not_work(said: str, expected: str) -> None:
    found = [line.partition(" ")[2] for line in told(said)]
    assert [line for line in found if line.startswith(f"mesh.{expected}")], found


@pytest.mark.parametrize(
    "said",
    [
        LOCAL,
        'identity = { ca = "files:///certs" }\nmtls = "strict"',
        'identity = { ca = "spiffe:///run/agent.sock" }\nallow = [{ from = "spiffe://*" }]',
        'identity = { ca = "local:///a", id = "spiffe://m/a", domain = "m", ttl = "10m" }',
        'identity = { ca = "local:///a", ttl = "2s" }',
        LOCAL + 'allow = [{ from = "spiffe://m/ns/*", path = "/a/{id}", method = ["GET"] }, {}]',
    ],
)
def test_what_can(said: str) -> None:
    assert [line for line in told(said) if "warning" not in line] == []


@pytest.mark.parametrize(("ttl", "warned"), [("2s", True), ("59s", True), ("1m", False)])
def test_a_life_that_a_loaded_machine_may_not_keep_up_with_is_warned_of(
    ttl: str, warned: bool
) -> None:
    found = told(f'identity = {{ ca = "local:///a", ttl = "{ttl}" }}')
    why = "a machine under load may not have signed the next one in time"
    remedy = '(write "1h", or at least "1m")'
    line = f"{ttl.replace('s', ' s')}: {why} {remedy}"
    assert [one for one in found if one.endswith(f"mesh.identity.ttl: {line}")] == found[:warned]
    assert bool(found) == warned


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (LOCAL, "spiffe://mesh/spangate"),
        ('name = "orders"\n' + LOCAL, "spiffe://mesh/orders"),
        ('name = "my orders/2"\n' + LOCAL, "spiffe://mesh/my-orders-2"),
        ('name = ".."\n' + LOCAL, "spiffe://mesh/spangate"),
        ('name = "é"\nidentity = { ca = "local:///a", domain = "x.y" }', "spiffe://x.y/-"),
        ('identity = { ca = "local:///a", id = "spiffe://a/b/c" }', "spiffe://a/b/c"),
    ],
)
def test_who_it_is_by_a_local_authority(said: str, expected: str) -> None:
    found = who(loads(MESH_TABLE.format(said), "routes.toml", {}).config)
    assert str(found) == expected == str(parse(str(found)))


SECURE = """
[[listen]]
name = "secure"
address = ":8443"
tls = {{ {} }}
"""


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ('cert = "mesh:", key = "edge.key"', '"mesh:" stands for a certificate and its key toge'),
        ('cert = "edge.pem", key = "mesh:"', '"mesh:" stands for a certificate and its key toge'),
    ],
)
def test_half_of_an_identity(tls: str, expected: str) -> None:
    assert any(expected in line for line in told(LOCAL, SECURE.format(tls)))


@pytest.mark.parametrize("tls", ['cert = "mesh:", key = "mesh:"', "self_signed = true"])
def test_an_identity_that_there_is_not(tls: str) -> None:
    text = SECURE.format(f'{tls}, client_ca = "mesh:"') + "[[route]]\npath = '/*'\nrespond = 200\n"
    with pytest.raises(ConfigError) as caught:
        loads(text, "routes.toml", {})
    said = str(caught.value.problems[0])
    assert '"mesh:" stands for the identity of a mesh, and there is none' in said
    assert "write [mesh] identity" in said


def test_identities_of_servers_in_a_mesh_are_patterns() -> None:
    servers = '[upstream.b]\nservers = ["https://b"]\ntls = {{ ca = "mesh:", identities = ["{}"] }}'
    assert not [line for line in told(LOCAL, servers.format("spiffe://m/*")) if "tls" in line]
    found = told(LOCAL, servers.format("spiffe://m/a*"))
    assert any("'spiffe://m/a*' is no SPIFFE ID" in line for line in found)


def test_what_is_known_of_the_mesh_is_kept_and_sent_to_workers() -> None:
    own = Certified(b"c", b"k", uris=["spiffe://mesh/a"])
    known = Material({pair(MESH, MESH): own}, trust={"mesh": b"pem"})
    loaded = loads(MESH_TABLE.format(LOCAL), "routes.toml", {}, known)
    assert loaded.material.mesh == own and loaded.material.trust == {"mesh": b"pem"}
    unpacker = Unpacker()
    for message in pack(loaded.config, loaded.material):
        unpacker.feed(message)
    assert unpacker.material == loaded.material
    without = loads(MESH_TABLE.format(""), "routes.toml", {}, known)
    assert without.material.mesh is None and not without.material.trust
