"""When news are brought into force: after some quiet, in time, and not all the time."""

from __future__ import annotations

import pytest

from proxy.hub.coalesce import AGAIN, LONGEST, QUIET, Storm


def test_nothing_is_due_without_news() -> None:
    assert Storm().due() is None


def test_quiet_is_waited_for() -> None:
    storm = Storm()
    storm.news(10.0)
    assert storm.due() == pytest.approx(10.0 + QUIET)
    storm.news(10.05)
    assert storm.due() == pytest.approx(10.05 + QUIET)


def test_not_for_ever() -> None:
    storm = Storm()
    for tenth in range(100, 200):
        storm.news(tenth / 10)
    assert storm.due() == pytest.approx(10.0 + LONGEST)


def test_half_of_the_time_is_left_for_other_things() -> None:
    storm = Storm()
    storm.news(10.0)
    storm.begin()
    assert storm.due() is None
    storm.news(12.0)
    storm.end(10.1, 13.1)
    assert storm.due() == pytest.approx(16.1)


def test_a_storm_is_a_bounded_number_of_reloads() -> None:
    storm, now, reloads = Storm(), 100.0, 0
    while now < 110.0:
        storm.news(now)
        due = storm.due()
        if due is not None and due <= now:
            storm.begin()
            reloads += 1
            now += 0.4  # what one takes
            storm.end(now - 0.4, now)
        now += 0.001
    assert 6 <= reloads <= 8


def test_what_could_not_be_done_is_tried_later() -> None:
    storm = Storm()
    storm.news(10.0)
    storm.begin()
    storm.put_off(10.5)
    storm.end(10.1, 10.5)
    assert storm.due() == pytest.approx(10.5 + AGAIN)
