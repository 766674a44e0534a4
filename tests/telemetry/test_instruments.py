from __future__ import annotations

from itertools import pairwise

import pytest

from proxy.telemetry import instruments
from proxy.telemetry.instruments import INSTRUMENTS, Instrument, Kind


@pytest.mark.parametrize("name", [instruments.SERVER_DURATION, instruments.CLIENT_DURATION])
def test_durations_have_the_boundaries_that_the_conventions_advise(name: str) -> None:
    row = INSTRUMENTS[name]

    assert row.unit == "s"
    assert [bound / row.divisor for bound in row.boundaries] == [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    ]  # fmt: skip


@pytest.mark.parametrize("row", INSTRUMENTS.values(), ids=lambda row: row.name)
def test_histograms_and_only_they_have_rising_boundaries(row: Instrument) -> None:
    assert bool(row.boundaries) == (row.kind is Kind.HISTOGRAM)
    assert all(low < high for low, high in pairwise(row.boundaries))
    assert row.description.endswith(".") or row.kind is Kind.GAUGE
