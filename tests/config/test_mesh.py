"""`[mesh]` and what it stands for: listeners, upstreams, routes, and what cannot be meant."""

from __future__ import annotations

import pytest

from proxy.config.load import Loaded, load, loads
from proxy.config.mesh_model import Mesh
from proxy.config.mesh_names import RESERVED
from proxy.config.mesh_peers import has, parsed
from proxy.config.mesh_service import NOWHERE, REDIRECT, service_of
from proxy.errors import ConfigError

APP = '[mesh]\napp = "127.0.0.1:8000"\n'
USERS = '[upstream.users]\nservers = ["http://10.0.0.7:15006"]\n'


def read(text: str, **environ: str) -> Loaded:
    return loads(text, "t.toml", environ)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text)
    return [f"{p.line} {p.key}: {p.message}" for p in raised.value.problems]


def routes(text: str) -> dict[str, tuple[list[str], str, str, str]]:
    """By name: hosts, path, listener, upstream."""
    return {
        r.name: (r.host, r.path, r.when.listener, next(iter(r.to), ""))
        for r in read(text).config.route
    }


def test_a_table_is_two_listeners_and_what_is_behind_them() -> None:
    loaded = read(APP + 'name = "orders"\n')
    config = loaded.config
    assert not loaded.warnings
    assert {x.name: x.address for x in config.listen} == {
        "inbound": ":15006",
        "outbound": "localhost:15001",
    }
    assert {*config.upstream} == {*RESERVED} - {"passthrough.mesh", "passthrough.mesh.tcp"}
    assert config.upstream["app"].servers == {"http://127.0.0.1:8000": 1}
    assert config.resource["service.name"] == "orders"
    assert (config.workers, config.processes) == (1, "small")
    assert routes(APP) == {
        "inbound": ([], "/*", "inbound", "app"),
        "outbound": ([], "/*", "outbound", "passthrough"),
    }


def test_routes_of_the_file_are_for_what_the_application_calls() -> None:
    text = (
        APP
        + USERS
        + """
[[route]]
name = "special"
host = "users"
path = "/special"
to = "users"
[[route]]
name = "mine"
path = "/orders/{id}"
when.listener = "inbound"
to = "app"
"""
    )
    assert routes(text) == {
        "special": (["users"], "/special", "outbound", "users"),
        "mine": ([], "/orders/{id}", "inbound", "app"),
        "users": (["users"], "/*", "outbound", "users"),
        "inbound": ([], "/*", "inbound", "app"),
        "outbound": ([], "/*", "outbound", "passthrough"),
    }


def test_a_route_that_takes_all_of_a_host_is_no_second_one() -> None:
    text = APP + USERS + '[[route]]\nname = "all"\nhost = "Users"\nto = "users"\n'
    assert "users" not in routes(text)
    assert not read(text).warnings


def test_listeners_of_the_file_stay() -> None:
    config = read('listen = ":8080"\n' + APP).config
    assert [x.address for x in config.listen] == [":8080", ":15006", "localhost:15001"]


def test_a_sidecar_with_an_identity_shows_it() -> None:
    text = APP + 'identity = { ca = "local:///ca" }\n'
    try:
        config = read(text).config
    except ConfigError as error:  # the files of an identity are not read by this
        assert all("mesh:" in p.message for p in error.problems)
        return
    tls = {x.name: x.tls for x in config.listen}
    assert tls["outbound"] is None
    assert tls["inbound"] is not None and tls["inbound"].client_ca == "mesh:"
    assert config.upstream["passthrough.mesh"].tls.server_name.startswith("outbound.mesh.")
    assert config.upstream["passthrough.mesh.tcp"].tls.server_name.startswith("bytes.mesh.")


def test_an_option_is_for_a_file_that_leaves_the_redirect_open() -> None:
    for said, meant in (("", "nft"), ("none", "nft"), ("tproxy", "tproxy")):
        text = f'{APP}redirect = "{said}"\n' if said else "[mesh]\n"
        mesh = read(text, **{REDIRECT: "nft"}).config.mesh
        assert mesh is not None and mesh.redirect == meant
    with pytest.raises(ConfigError, match=r"mesh\.redirect"):
        read(APP + 'redirect = "ntf"\n', **{REDIRECT: "nft"})


CANNOT: dict[str, str] = {
    "[mesh]\n": "1 mesh.app: nothing says where the application listens",
    '[mesh]\napp = "8000"\n': "2 mesh.app: '8000' is not an address",
    '[mesh]\napp = "0.0.0.0:8000"\n': "2 mesh.app: '0.0.0.0' is every address",
    '[mesh]\napp = "shop.test:80"\n': "2 mesh.app: the application is on this machine",
    '[mesh]\napp = "127.0.0.1:0"\n': "2 mesh.app: an application cannot be reached at port 0",
    '[mesh]\napp = "127.0.0.1:15006"\n': "2 mesh.app: that is the sidecar's own inbound",
    '[mesh]\napp = "127.0.0.1:15001"\n': "2 mesh.app: that is the sidecar's own outbound",
    APP + 'inbound = "unix:/x"\n': "3 mesh.inbound: a sidecar takes TCP",
    APP + 'inbound = "x"\n': "3 mesh.inbound: 'x' is not an address",
    APP + 'outbound = ":15006"\n': "3 mesh.outbound: inbound listens there",
    APP + '[admin]\nlisten = ":15001"\n': "4 admin.listen: ':15001' is already taken by mesh.outb",
    'listen = ":15006"\n' + APP: "2 mesh.inbound: ':15006' is already taken by listen[0]",
    APP + 'peers = ["10.0.0.0/99"]\n': "3 mesh.peers[0]: '10.0.0.0/99' is not a network",
    APP + 'exclude.networks = ["x/8"]\n': "3 mesh.exclude.networks[0]: 'x/8' is not a network",
    APP + "[upstream.app]\nservers = 'http://a'\n": "3 upstream.app: with [mesh] 'app' is an up",
    APP + '[[route]]\nname = "inbound"\nto = "http://a"\n': "4 route[0].name: with [mesh] 'inbou",
    APP + '[[listen]]\nname = "outbound"\naddress = ":1"\n': "4 listen[0].name: with [mesh] 'outb",
    APP + "outbund = 1\n": "3 mesh.outbund: unknown key",
    APP + 'detect = "soon"\n': "3 mesh.detect: ",
    "mesh = 1\n": "1 mesh: expected a table",
}


@pytest.mark.parametrize("text", CANNOT)
def test_what_cannot_be_meant(text: str) -> None:
    found = [p for p in problems(text) if "no upstream" not in p and "no route uses" not in p]
    assert len(found) == 1 and found[0].startswith(CANNOT[text]), found


def test_an_open_relay_is_a_warning() -> None:
    (warning,) = read(APP + 'outbound = "0.0.0.0:15001"\n').warnings
    assert warning.key == "mesh.outbound" and "127.0.0.1:15001" in warning.remedy


def test_a_service_that_is_said_twice_is_a_warning() -> None:
    (warning,) = read(APP + 'name = "a"\n[resource]\n"service.name" = "b"\n').warnings
    assert "'a'" in warning.message


PODS = {
    "orders-6d4cf56db6-x7k2p": "orders",
    "user-orders-6d4cf56db6-x7k2p": "user-orders",
    "orders-0": "orders",
    "orders": "orders",
}


@pytest.mark.parametrize("pod", PODS)
def test_a_pod_tells_of_its_service(pod: str) -> None:
    assert service_of({"POD_NAME": pod}) == PODS[pod]
    assert service_of({"POD_NAME": pod, "K8S_DEPLOYMENT_NAME": "shop"}) == "shop"


def test_who_says_the_name_first() -> None:
    told = {"OTEL_SERVICE_NAME": "otel", "POD_NAME": "pod-0"}
    assert read(APP, POD_NAME="pod-0").config.mesh.name == "pod"  # type: ignore[union-attr]
    assert read(APP, **told).config.resource["service.name"] == "otel"
    assert read(APP + 'name = "file"\n', **told).config.resource["service.name"] == "file"
    said = read(APP + 'name = "file"\n', SPANGATE_SERVICE="option", **told).config
    assert said.resource["service.name"] == "option"


def test_without_a_file() -> None:
    config = load(NOWHERE, {"SPANGATE_APP": "8000", "SPANGATE_SERVICE": "orders"}).config
    assert config.mesh is not None
    assert (config.mesh.app, config.mesh.name) == ("127.0.0.1:8000", "orders")
    bare = load(NOWHERE, {}).config
    assert bare.mesh is not None and (bare.mesh.app, bare.mesh.redirect) == ("", "nft")


def test_a_gateway_knows_nothing_of_it() -> None:
    config = read("to = 1\n".replace("to = 1", '[[route]]\nto = "http://a"')).config
    assert config.mesh is None and config.workers == "auto"
    assert not {*config.upstream} & {*RESERVED}


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ("http://10.1.2.3:8000", True),
        ("http://orders.mesh:8000", True),
        ("https://10.1.2.3:8000", False),
        ("http://10.2.2.3:8000", False),
    ],
)
def test_peers_that_are_called_in_plain_text_are_told(servers: str, told: bool) -> None:
    peers = 'identity = { ca = "local:///tmp/ca" }\npeers = ["10.1.0.0/16", "*.mesh"]\n'
    warnings = read(APP + peers + f'[upstream.orders]\nservers = "{servers}"\n').warnings
    assert ["is called in plain text" in str(warning) for warning in warnings] == [True] * told
    if told:
        assert "docs/mesh-identity.md" in str(warnings[0])


PEERS = parsed(Mesh(peers=["10.1.0.0/16", "fd00::/64", "*.mesh"]))


@pytest.mark.parametrize(
    ("address", "host", "is_one"),
    [
        ("10.1.2.3", "", True),
        ("::ffff:10.1.2.3", "", True),  # the same host
        ("::ffff:a01:203", "", True),
        ("fd00::1%eth0", "", True),
        ("10.2.0.1", "", False),
        ("10.1", "", False),  # a name, which only some resolvers take for an address
        ("167837955", "", False),
        ("", "orders.mesh", True),
        ("10.2.0.1", "orders.mesh", True),
    ],
)
def test_who_is_a_peer(address: str, host: str, is_one: bool) -> None:
    assert has(PEERS, address, host) is is_one
