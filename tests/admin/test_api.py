"""What the hub itself answers below /api/, of a small made-up gateway."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import MultiDict

from proxy.admin.api import LONGEST, answer
from tests.admin.test_app import Gateway


async def asked(path: str, *query: tuple[str, str]) -> Any:
    return await answer(Gateway(), path, MultiDict(query))


@pytest.mark.parametrize(
    ("path", "query", "value"),
    [
        ("/api/rates", [], {"points": 120}),
        ("/api/rates", [("points", "1")], {"points": 1}),
        ("/api/routes", [], {"routes": []}),
        ("/api/upstreams", [], {"u": {}}),
        ("/api/config", [], {"generation": 1, "history": [], "settings": {}}),
        ("/api/config", [("settings", "false")], {"generation": 1, "history": []}),
        ("/api/explain", [("url", "/a")], {"taken": True, "lines": ["GET", "/a"]}),
        (
            "/api/explain",
            [("method", "POST"), ("url", "/a?b=c"), ("header", "x: 1"), ("header", "y: 2")],
            {"taken": True, "lines": ["POST", "/a?b=c", "x: 1", "y: 2"]},
        ),
    ],
)
async def test_answers(path: str, query: list[tuple[str, str]], value: dict[str, Any]) -> None:
    assert await asked(path, *query) == (200, value)


async def test_pipelines_come_with_losses() -> None:
    status, value = await asked("/api/pipelines")
    assert (status, value["balanced"]) == (200, True)
    assert [loss["reason"] for loss in value["losses"]] == ["queue_full"]


@pytest.mark.parametrize(
    ("path", "query", "status", "word"),
    [
        ("/api/rates", [("points", "121")], 400, "points"),
        ("/api/rates", [("points", "-1")], 400, "points"),
        ("/api/rates", [("points", "x" * 1000)], 400, "points"),
        ("/api/config", [("settings", "no")], 400, "settings"),
        ("/api/explain", [], 400, "url"),
        ("/api/explain", [("url", "")], 400, "url"),
        ("/api/explain", [("url", "/" + "a" * LONGEST)], 400, "url"),
        ("/api/explain", [("url", "/"), ("header", "x: " + "a" * LONGEST)], 400, "header"),
        ("/api/explain", [("url", "/"), *[("header", "x: 1")] * 101], 400, "header"),
        ("/api/explain", [("url", "/"), ("method", "CONNECT")], 404, "collector"),
    ],
)
async def test_refusals(path: str, query: list[tuple[str, str]], status: int, word: str) -> None:
    got, value = await asked(path, *query)
    assert got == status
    assert word in value["error"] and len(value["error"]) < 200


@pytest.mark.parametrize("path", ["/api/traces", "/api/", "/api/rates/x", "/rates"])
async def test_other_paths_are_left_to_others(path: str) -> None:
    assert await asked(path) is None
