"""What `slo` takes, and what is told of objectives that cannot be meant."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.config.model import Slo
from proxy.errors import ConfigError

ROUTE = '[[route]]\nto = "http://127.0.0.1:9"\n'


def warnings(text: str) -> list[str]:
    return [str(problem) for problem in loads(text, "routes.toml", {}).warnings]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{ availability = 0.999 }", Slo(availability=0.999)),
        ('{ latency = "300ms" }', Slo(latency=0.3, quantile=0.99)),
        (
            '{ availability = 0.9, latency = "1s", quantile = 0.5 }',
            Slo(availability=0.9, latency=1.0, quantile=0.5),
        ),
        ('{ availability = "${A}" }', Slo(availability=0.995)),
        ("false", Slo()),
    ],
)
def test_either_may_be_left_out(written: str, meant: Slo) -> None:
    text = f"[defaults]\nslo = {{ availability = 0.99 }}\n{ROUTE}slo = {written}\n"
    loaded = loads(text, "routes.toml", {"A": "0.995"})
    assert loaded.config.route[0].slo == meant
    assert loaded.warnings == []


@pytest.mark.parametrize(
    ("written", "key", "remedy"),
    [
        ("{ availability = 1 }", "availability", "write availability = 0.999"),
        ("{ availability = 0 }", "availability", "write availability = 0.999"),
        ("{ availability = 99.9 }", "availability", "did you mean 0.999?"),
        ("{ availability = -0.1 }", "availability", "is not a share from 0 to 1"),
        ('{ availability = "high" }', "availability", "share"),
        ('{ latency = "0s" }', "latency", 'write latency = "300ms"'),
        ("{ latency = 0 }", "latency", 'write latency = "300ms"'),
        ("{ latency = 300 }", "latency", 'write "300s" or "300ms"'),
        ('{ latency = "1s", quantile = 1.0 }', "quantile", "write quantile = 0.99"),
        ('{ latency = "1s", quantile = 0 }', "quantile", "write quantile = 0.99"),
        ("{ objective = 0.99 }", "objective", "write availability = 0.999"),
        ('{ threshold = "1s" }', "threshold", 'write latency = "1s"'),
        ("{ window = 30 }", "window", "it is 30 days"),
        ("0.999", "", "expected a table"),
        ("true", "", "expected a table"),
    ],
)
def test_what_cannot_be_is_told_with_file_key_and_remedy(
    written: str, key: str, remedy: str
) -> None:
    for place, text in (
        ("route[0].slo", f"{ROUTE}slo = {written}\n"),
        ("defaults.slo", f"[defaults]\nslo = {written}\n{ROUTE}"),
    ):
        with pytest.raises(ConfigError) as caught:
            loads(text, "routes.toml", {})
        (problem,) = caught.value.problems
        line = 3 if place.startswith("route") else 2
        assert str(problem).startswith(f"routes.toml:{line}: {place}{key and '.'}{key}: ")
        assert remedy in str(problem)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[route]]\nrespond = 204\nslo = { availability = 0.9 }\n", "answers itself"),
        ('[[route]]\nredirect = "/n"\nslo = { latency = "1s" }\n', "answers itself"),
        (f"{ROUTE}slo = {{}}\n", "neither"),
        (f"{ROUTE}slo = {{ availability = 0.9, quantile = 0.9 }}\n", "no `latency`"),
        (
            '[[listen]]\naddress = ":1"\nname = "db"\nprotocol = "tcp"\n'
            '[[route]]\nto = "tcp://127.0.0.1:9"\nwhen = { listener = "db" }\n'
            "slo = { availability = 0.9 }\n",
            "passed on",
        ),
    ],
)
def test_what_has_no_effect_is_a_warning(text: str, told: str) -> None:
    (warning,) = warnings(text)
    assert "slo" in warning and told in warning and "warning" in warning


def test_a_default_is_no_complaint_about_routes_that_answer_themselves() -> None:
    text = "[defaults]\nslo = { availability = 0.9 }\n[[route]]\nrespond = 204\n"
    assert warnings(text) == []
