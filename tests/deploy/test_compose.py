"""The compose file as Compose reads it, what Prometheus and Grafana are given, and its services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from proxy.config.load import load
from tests.hub.gateway import gateway, until
from tests.ports import free_port

from .tools import DEPLOY, ROOT, needs, run, tool

COMPOSE = DEPLOY / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """What Compose makes of the file; it refuses what the specification does not know."""
    command = tool("docker-compose")
    assert command
    told = run(command, "-f", str(COMPOSE / "compose.yaml"), "config", "--format", "json")
    found: dict[str, Any] = json.loads(told)
    return found


@needs("docker-compose")
def test_compose_takes_it(config: dict[str, Any]) -> None:
    services = config["services"]
    assert services.keys() == {"gateway", "orders", "payments", "jaeger", "prometheus", "grafana"}
    for service in services.values():
        for mount in service.get("volumes", []):
            assert mount["type"] != "bind" or Path(mount["source"]).exists()
    build = services["gateway"]["build"]
    assert (Path(build["context"]) / build["dockerfile"]).samefile(DEPLOY / "Containerfile")


@needs("docker-compose")
def test_ours_may_write_nothing_and_are_not_root(config: dict[str, Any]) -> None:
    for name in ("gateway", "orders", "payments"):
        service = config["services"][name]
        assert service["read_only"] is True and service["user"] == "65532:65532"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@needs("docker-compose")
def test_only_the_gateway_s_port_is_for_others(config: dict[str, Any]) -> None:
    open_to_all = {
        (name, port["target"])
        for name, service in config["services"].items()
        for port in service.get("ports", [])
        if port.get("host_ip") != "127.0.0.1"
    }
    assert open_to_all == {("gateway", 8080)}


def test_the_configuration_has_no_mistake_and_names_services() -> None:
    loaded = load(str(COMPOSE / "routes.toml"), {})
    assert loaded.warnings == []
    services = yaml.safe_load(TEXT)["services"]
    upstreams = tomllib.loads((COMPOSE / "routes.toml").read_text())["upstream"].values()
    called = {host(url) for upstream in upstreams for url in upstream["servers"]}
    assert called <= services.keys()
    grace = float(services["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace >= loaded.config.drain_delay + loaded.config.drain_timeout + 5


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["dashboard", "grafana", "routes.toml", "--uid", "spangate"],
         "grafana/dashboards/spangate.json"),
        (["alerts", "prometheus", "routes.toml"], "alerts.yml"),
    ],
)  # fmt: skip
def test_board_and_alerts_are_as_its_routes_have_them(words: list[str], file: str) -> None:
    """As the head of compose.yaml says to make them anew."""
    command = f"spangate {' '.join(words)} >{file}"
    assert command in TEXT
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *words], capture_output=True, text=True, check=True,
        cwd=COMPOSE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == (COMPOSE / file).read_text(), f"write it anew: {command}"


@needs("promtool")
def test_prometheus_takes_its_configuration_and_rules() -> None:
    told = run("promtool", "check", "config", str(COMPOSE / "prometheus.yml"))
    assert "SUCCESS" in told and "0 rules" not in told


def test_grafana_is_told_of_what_is_there() -> None:
    provisioning = COMPOSE / "grafana" / "provisioning"
    services = yaml.safe_load(TEXT)["services"]
    sources = yaml.safe_load((provisioning / "datasources" / "spangate.yaml").read_text())
    for source in sources["datasources"]:
        assert host(source["url"]) in services
    uids = {source["uid"] for source in sources["datasources"]}
    (prometheus,) = [s for s in sources["datasources"] if s.get("isDefault")]
    (to,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert to["datasourceUid"] in uids
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "spangate.yaml").read_text())[
        "providers"
    ]
    targets = {v.split(":")[1] for v in services["grafana"]["volumes"]}
    assert provider["options"]["path"] in targets
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == provider["options"]["path"] + "/spangate.json"


def host(url: str) -> str | None:
    return urlsplit(url).hostname


@contextmanager
def service(name: str, port: int, following: str = "") -> Iterator[None]:
    environ = {"NAME": name, "PORT": str(port), "NEXT": following, "PATH": os.environ["PATH"]}
    process = subprocess.Popen([sys.executable, COMPOSE / "services" / "service.py"], env=environ)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_request_through_it_is_one_trace(tmp_path: Path) -> None:
    """The gateway, orders, the gateway again, payments: the services and routes as they are, at
    ports of this host."""
    listen, orders, payments, admin = (free_port() for _ in range(4))
    text = (COMPOSE / "routes.toml").read_text()
    for old, new in (
        ('":8080"', f'"127.0.0.1:{listen}"'),
        ('":9901"', f'"127.0.0.1:{admin}"'),
        ("http://orders:8000", f"http://127.0.0.1:{orders}"),
        ("http://payments:8000", f"http://127.0.0.1:{payments}"),
        ("grpc://jaeger:4317", "grpc://127.0.0.1:1"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    with ExitStack() as stack:
        stack.enter_context(service("orders", orders, f"http://127.0.0.1:{listen}/payments/"))
        stack.enter_context(service("payments", payments))
        hub = stack.enter_context(gateway(tmp_path, text))
        until(lambda: answered(listen) == (200, "orders/orders/7\npayments/payments/7\n"))

        def spans() -> list[int]:
            told = json.loads(hub.ask("/api/traces")[2])
            return [found["spans"] for found in told["traces"]]

        assert 4 in until(lambda: 4 in spans() and spans())


def answered(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/orders/7") as answer:
            return answer.status, answer.read().decode()
    except OSError as error:  # services may start later than the gateway
        return getattr(error, "code", 0), ""
