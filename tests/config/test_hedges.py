"""What `retry.hedge` takes."""

from __future__ import annotations

import pytest

from proxy.config.hedges import parse_hedge
from proxy.config.load import loads
from proxy.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "means"),
    [("p95", (0.0, 0.95)), ("p99.9", (0.0, 0.999)), ("50ms", (0.05, 0.0)), ("1s", (1.0, 0.0))],
)
def test_a_time_or_a_percentile(text: str, means: tuple[float, float]) -> None:
    assert parse_hedge(text) == pytest.approx(means)


@pytest.mark.parametrize("value", ['"p0"', '"p100"', '"0s"', '"95"', '"fast"', '"p"', "true"])
def test_anything_else_is_told(value: str) -> None:
    text = f'[[route]]\nto = "http://127.0.0.1:9"\nretry = {{ times = 2, hedge = {value} }}\n'
    with pytest.raises(ConfigError, match=r"retry\.hedge"):
        loads(text, "routes.toml", {})
