"""A gateway tells whether it runs compiled: when it starts, in /stats and in /metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.plain import WHY_PLAIN, told
from tests.hub.gateway import gateway


@pytest.mark.parametrize("pure", [True, False])
def test_a_gateway_tells_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pure: bool
) -> None:
    if pure:
        monkeypatch.setenv("SPANGATE_PURE", "1")
    plain = "SPANGATE_PURE=1" if pure else WHY_PLAIN
    build = "plain Python: SPANGATE_PURE=1" if pure else told()
    with gateway(tmp_path, workers=1) as hub:
        line = hub.wait_for_line(r"ready: .*, 1 route(?:, (.*))?$")
        assert line[1] == (build if plain else None)
        assert hub.stats()["build"] == build
        labels = [dict(labels) for name, labels in hub.values() if name == "spangate_build_info"]
        assert [found["compiled"] for found in labels] == ["false" if plain else "true"]
