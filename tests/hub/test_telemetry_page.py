"""The metrics that docs/telemetry.md names are those that a running gateway shows, and no others.

The table of the page is the expectation: names, kinds, and the attributes that it names.
"""

from __future__ import annotations

import fnmatch
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from proxy.collector.resource import detect
from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.hub.of_protocols import traffic
from tests.ports import free_port
from tests.server.kit import refusing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()
ROW = re.compile(r"^\| `([a-z_.]+)` \| `([a-z_]+)` \| (\w+) \| (.*) \|$", re.MULTILINE)
ROWS = {shown: (kind, what) for _, shown, kind, what in ROW.findall(PAGE)}
COLLECTOR = (ROOT / "docs" / "collector.md").read_text()  # has a table of its own metrics

# Shown once there is something to tell, which takes a reader that does not read, a worker that
# dies, or a file that is refused: other tests see to these.
ON_MISFORTUNE = {
    "spangate_access_log_dropped_total",
    "spangate_descriptors_exhausted_total",
    "spangate_upstream_shed_total",
    "spangate_upstream_endpoint_drained",
    "spangate_worker_restarts_total",
    # and these take queues, and a broker: tests/messaging, tests/hub/test_bus.py
    "spangate_messaging_restarts_total",
    "messaging_client_operation_duration_seconds",
    "messaging_client_sent_messages_total",
    "messaging_client_consumed_messages_total",
    "messaging_process_duration_seconds",
    "spangate_consumer_lag",
    "spangate_consumer_retries_total",
    "spangate_consumer_dead_letters_total",
}
CONFIG = """
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[metrics]
body_sizes = true
series = 30
[export]
otlp = "http://127.0.0.1:9"
retry.elapsed = "1ms"
batch_age = "50ms"
[redis]
url = "unix:///nowhere"
[recent]
path = "recent"
[source.file]
path = "conf.d/*.toml"
[[route]]
path = "/limited"
to = "found"
rate = ["1/d", {{ limit = "9/d", scope = "shared", key = "header:x-no" }}]
[auth.staff]
jwt = {{ jwks = "http://127.0.0.1:{own}/jwks", issuer = "https://id.test", audience = "shop" }}
[[route]]
path = "/jwks"
respond = {{ body = '{jwks}' }}
[[route]]
path = "/denied"
to = "found"
deny = "127.0.0.1"
auth = "staff"
[[route]]
name = "down"
path = "/down"
to = "down"
[[route]]
name = "gone"
path = "/gone"
to = "gone"
retry = {{ times = 1, backoff = "1ms" }}
[[route]]
path = "/split"
to = {{ up = 1, gone = 1 }}
mirror = "gone"
[[route]]
name = "up"
path = "/up"
to = "up"
compress = {{ min = "1B" }}
[upstream.down]
servers = ["{down}"]
health = {{ path = "/", every = "50ms", timeout = "1s", status = [200, 404], fall = 1, rise = 1 }}
[upstream.found]
discover = "file://{found}"
[upstream.gone]
servers = ["{down}"]
[upstream.up]
servers = ["http://127.0.0.1:{admin}"]
balance = {{ policy = "hash", on = "header:x-user" }}
limits = {{ requests = 100, adaptive = true }}
eject = {{ errors = 5 }}
breaker = {{ failures = 0.5 }}
"""
# A sidecar that calls itself.
MESHED = """
[[listen]]
name = "out"
address = "127.0.0.1:{own}"
[[listen]]
name = "in"
address = "127.0.0.1:{port}"
tls = {{ cert = "mesh:", key = "mesh:", client_ca = "mesh:" }}
[admin]
listen = "127.0.0.1:0"
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:{out}"
identity = {{ ca = "local://{folder}" }}
[[route]]
path = "/*"
when = {{ listener = "out" }}
to = "itself"
[[route]]
path = "/*"
when = {{ listener = "in" }}
respond = 200
[upstream.itself]
servers = ["https://127.0.0.1:{port}"]
tls = {{ ca = "mesh:", cert = "mesh:", key = "mesh:" }}
"""
# RFC 8037, appendix A.2
JWKS = '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
MANY = "".join(f'[[route]]\npath = "/{n}"\nrespond.status = 200\n' for n in range(40))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, set[str]]]]:
    """Of a gateway to which everything has happened: name -> kind and labels."""
    folder = tmp_path_factory.mktemp("page")
    meshed = of_mesh(folder / "mesh")
    found = folder / "found.json"
    with refusing() as down, traffic(folder) as protocols:
        found.write_text(f'["{down}"]')
        (folder / "conf.d").mkdir()
        (folder / "conf.d" / "more.toml").write_text('[[route]]\npath = "/more"\nrespond = 204\n')
        more = protocols.text + MANY
        said = {"down": down, "found": found, "jwks": JWKS}
        first = CONFIG.format(admin=9, own=9, **said) + more
        with gateway(folder, first, workers=1) as hub:
            hub.rewrite(CONFIG.format(admin=hub.admin, own=hub.port, **said) + more)
            until(lambda: "spangate_config_generation 3" in shown(hub))  # the source had one too
            happen(hub)
            protocols.happen(hub)
            yield until(lambda: complete(families(hub) | meshed))


def of_mesh(folder: Path) -> dict[str, tuple[str, set[str]]]:
    """The metrics that a sidecar has besides."""
    folder.mkdir()
    out = free_port()
    text = MESHED.format(port=free_port(), own=free_port(), out=out, folder=folder)
    with gateway(folder, text, workers=1) as hub:
        hub.get("/")
        with socket.create_connection(("127.0.0.1", out)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")
            wanted = {"spangate_mesh_handshakes_total", "spangate_mesh_connections_total"}
            found = until(lambda: wanted <= families(hub).keys() and families(hub))
        return {name: what for name, what in found.items() if name.startswith("spangate_mesh_")}


def happen(hub: Gateway) -> None:
    for path in (
        "/down",
        "/gone",
        "/closed",
        "/limited",
        "/limited",
        "/denied",
        *("/split" for _ in range(20)),
        *("/up" for _ in range(3)),
        *(f"/{n}" for n in range(40)),
    ):
        hub.get(path)
    fetch(hub.port, "/up", {"Accept-Encoding": "gzip"})
    with socket.create_connection(("127.0.0.1", hub.port)) as client:
        client.sendall(b"no request\r\n\r\n")
        assert b" 400 " in client.recv(4096)


def shown(hub: Gateway) -> str:
    return hub.ask("/metrics", Accept="application/openmetrics-text;version=1.0.0")[2].decode()


def families(hub: Gateway) -> dict[str, tuple[str, set[str]]]:
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(shown(hub))
    }


def complete(found: dict[str, tuple[str, set[str]]]) -> dict[str, tuple[str, set[str]]] | None:
    return found if ROWS.keys() - ON_MISFORTUNE <= found.keys() else None


def test_the_page_names_what_is_shown(page: dict[str, tuple[str, set[str]]]) -> None:
    ours = {
        name
        for name in page
        if f"| `{name}` |" not in COLLECTOR and not name.startswith("otelcol_")
    }
    assert ours - ROWS.keys() == set()
    assert ROWS.keys() - ours <= ON_MISFORTUNE
    assert {name: page[name][0] for name in ours} == {name: ROWS[name][0] for name in ours}


@pytest.mark.parametrize("name", ROWS)
def test_a_metric_has_the_attributes_that_the_page_names(
    name: str, page: dict[str, tuple[str, set[str]]]
) -> None:
    if name not in page:
        pytest.skip("it has not happened")
    what = re.sub(r"\([^)]*\)", "", ROWS[name][1])
    attributes = re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", what)
    assert {a.replace(".", "_") for a in attributes} <= page[name][1]


REASONS = re.findall(r"^\| `([a-z_]+)` \| ", PAGE.split("Why something was", 1)[1], re.MULTILINE)


@pytest.mark.parametrize("reason", REASONS)
def test_something_gives_the_reason_that_the_page_names(reason: str) -> None:
    """Each of them has its own test of when; here it is only that the name is right."""
    assert any(f'"{reason}"' in path.read_text() for path in (ROOT / "proxy").rglob("*.py"))


def test_the_resource_on_the_page_is_the_one_that_is_found_out() -> None:
    text = PAGE.split("The resource is found out once", 1)[1].split("`[resource]`", 1)[0]
    named = [n for n in re.findall(r"`([a-z0-9_.*]+)`", text) if "." in n]
    environ = {"K8S_POD_NAME": "a", "DEPLOYMENT_ENVIRONMENT": "test"}
    container = {"/proc/self/cgroup": "0123456789abcdef" * 4, "/etc/machine-id": "b"}
    found = detect({}, environ, container.get).keys()
    assert [n for n in named if not fnmatch.filter(found, n)] == []
    assert [f for f in found if not any(fnmatch.fnmatch(f, n) for n in named)] == []
