"""What is said of connections that were closed: the first one, then sums."""

from __future__ import annotations

import logging

import pytest

from proxy.server.refusals import Refusals

SECOND = 1_000_000_000


def test_one_line_and_then_sums(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    with caplog.at_level(logging.WARNING, "spangate"):
        for n in range(5):
            refusals.tell("timeout", f"of {n}", n)
        refusals.tell("untrusted", "of another kind", 0)
        refusals.sum_up(9 * SECOND)
        refusals.sum_up(10 * SECOND)
        refusals.sum_up(20 * SECOND)  # nothing has come since
        refusals.tell("timeout", "of later", 21 * SECOND)
    assert [record.getMessage() for record in caplog.records] == [
        "connection refused: of 0",
        "connection refused: of another kind",
        "4 more refused in 10 s (timeout), the last: of 4",
        "connection refused: of later",
    ]
