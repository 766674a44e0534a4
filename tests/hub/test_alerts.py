"""What docs/alerts.md asks, asked of a real Prometheus about a gateway in trouble."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import Gateway, gateway, until
from tests.hub.test_prometheus import PROMETHEUS, Prometheus
from tests.ports import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
QUERIES = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
# A server that refuses connections, retried and found to be down by its probes, and a back end
# that is away and whose queue holds nothing: there is something to tell about everything.
TROUBLE = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[export]
otlp = "http://127.0.0.1:9"
queue_bytes = "1KiB"
[[route]]
path = "/fine"
respond = {{ status = 200 }}
[[route]]
path = "/*"
to = "dead"
retry = 1
[upstream.dead]
servers = ["http://127.0.0.1:{port}"]
health = {{ every = "200ms", fall = 1 }}
[upstream.half]
servers = ["http://127.0.0.1:{port}"]
[[route]]
path = "/half"
to = "half"
retry = 1
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Prometheus]]:
    if PROMETHEUS is None:
        pytest.skip("no prometheus on this machine: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("alerts")
    with gateway(folder, TROUBLE.format(port=free_port())) as hub:
        server = Prometheus(folder, hub)
        try:
            yield hub, server
        finally:
            server.end()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_finds_what_it_is_about(prometheus: tuple[Gateway, Prometheus], query: str) -> None:
    hub, server = prometheus

    def answered() -> bool:
        for path in ("/fine", "/half", "/"):
            hub.get(path)
        found = server.api("query", query=query)
        values = [row["value"][1] for row in found["result"]] if found else []
        return any(value != "NaN" for value in values)  # as a quotient of nothings is

    until(answered)


def test_the_books_balance(prometheus: tuple[Gateway, Prometheus]) -> None:
    _, server = prometheus
    (balance,) = (query for query in QUERIES if "created" in query)
    found = until(lambda: (d := server.api("query", query=balance)) and d["result"])
    assert {row["value"][1] for row in found} == {"0"}
