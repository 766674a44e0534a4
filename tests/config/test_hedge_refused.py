"""Hedging is not there yet, and whoever asks for it is told so."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError


@pytest.mark.parametrize("value", ['"p95"', '"50ms"', "true"])
def test_hedge_is_refused_with_what_to_write(value: str) -> None:
    text = f'[[route]]\nto = "http://127.0.0.1:9"\nretry = {{ times = 2, hedge = {value} }}\n'
    with pytest.raises(ConfigError, match="is not there yet: write per_try"):
        loads(text, "routes.toml", {})
