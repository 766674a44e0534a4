"""What must hold for `limits` of upstreams and `priority` of routes: one row for each rule."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.config.model import UpstreamLimits
from tests.config.test_check_health import upstream
from tests.config.test_checks import found

ROWS = [
    ("limits = { pending = 5 }", ".pending", "nobody ever waits"),
    ("limits = { pending = 5, adaptive = true }", ".pending", "refused at once"),
    ("limits = { requests = -1 }", ".requests", ">= 0"),
    ('limits = { requests = "many" }', ".requests", "expected a whole number"),
    ("limits = { requests = 1.5 }", ".requests", "expected a whole number"),
    ('limits = { adaptive = "yes" }', ".adaptive", "true or false"),
    ("limits = 5", "", "write limits = { requests = 1000 }"),
    ("limits = { max_connections = 5 }", ".max_connections", "write connections = 5"),
    ("limits = { max_pending_requests = 5 }", ".max_pending_requests", "write pending = 5"),
    ("limits = { max_requests = 5 }", ".max_requests", "write requests = 5"),
    ("limits = { max_retries = 5 }", ".max_retries", "write retries = 5"),
    ("limits = { queue = 5 }", ".queue", "write pending = 5"),
    ("limits = { thresholds = [] }", ".thresholds", "write its keys here"),
    ('limits = { priority = "low" }', ".priority", "belongs to the route"),
]
WORDS = [
    ("max_conns = 5", "max_conns", "limits = { connections = 5 }"),
    ("maxconn = 5", "maxconn", "limits = { connections = 5 }"),
    ("max_connections = 5", "max_connections", "limits = { connections = 5 }"),
    ("max_requests = 5", "max_requests", "limits = { requests = 5 }"),
    ("queue = 5", "queue", "limits = { requests = 1000, pending = 5 }"),
    ("max_pending_requests = 5", "max_pending_requests", "pending = 5 }"),
    ("circuit_breakers = []", "circuit_breakers", "limits = { connections = 1000"),
    ("adaptive_concurrency = {}", "adaptive_concurrency", "limits = { adaptive = true }"),
    ('priority = "low"', "priority", "belongs to the route"),
]


@pytest.mark.parametrize(("lines", "key", "says"), ROWS)
def test_what_cannot_work_is_told(lines: str, key: str, says: str) -> None:
    ((where, told, warning),) = found(upstream(lines))
    assert (where, warning) == (f"upstream.u.limits{key}", False)
    assert says in told


@pytest.mark.parametrize(("lines", "key", "says"), WORDS)
def test_words_of_others_are_told(lines: str, key: str, says: str) -> None:
    ((where, told, _),) = found(upstream(lines))
    assert where == f"upstream.u.{key}"
    assert says in told


def test_limits_that_limit_nothing() -> None:
    ((where, told, warning),) = found(upstream("limits = {}"))
    assert (where, warning) == ("upstream.u.limits", True)
    assert "nothing is limited" in told


@pytest.mark.parametrize("priority", ["high", "low"])
def test_a_priority_without_limits(priority: str) -> None:
    text = upstream("").replace('to = "u"', f'to = "u"\npriority = "{priority}"')
    ((where, told, warning),) = found(text)
    assert (where, warning) == ("route[0].priority", True)
    assert "limits = { adaptive = true }" in told


@pytest.mark.parametrize("priority", ["10", "true"])
def test_a_priority_that_is_none(priority: str) -> None:
    text = upstream("").replace('to = "u"', f'to = "u"\npriority = {priority}')
    ((where, told, warning),) = found(text)
    assert (where, warning) == ("route[0].priority", False)
    assert 'write "high", "normal" or "low"' in told


def test_a_priority_of_another_name() -> None:
    text = upstream("").replace('to = "u"', 'to = "u"\npriority = "urgent"')
    assert "is not one of high, normal, low" in found(text)[0][1]


def test_all_of_it_together() -> None:
    said = "connections = 1000, pending = 1000, requests = 1000, retries = 3, adaptive = true"
    text = upstream(f"limits = {{ {said} }}").replace('to = "u"', 'to = "u"\npriority = "low"')
    assert found(text) == []
    config = loads(text, "test.toml", {}).config
    assert config.upstream["u"].limits == UpstreamLimits(1000, 1000, 1000, 3, True)
    assert config.route[0].priority == "low"
