"""Which routes promise what, and by which bucket it is judged."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proxy.admin.exposition import expose
from proxy.cli import main
from proxy.dashboards.objectives import BOUNDS, Objective, misfits, objectives, told_by
from proxy.telemetry.instruments import INSTRUMENTS, SERVER_DURATION
from proxy.telemetry.metrics import Point, Series
from tests.dashboards.kit import loaded, routes

TO = 'to = "http://127.0.0.1:9"\n'


def test_a_route_s_own_stands_in_the_place_of_the_default() -> None:
    text = (
        '[defaults]\nslo = { availability = 0.9, latency = "1s" }\n'
        f'[[route]]\nname = "z"\npath = "/z"\n{TO}'
        f'[[route]]\nname = "a"\npath = "/a"\n{TO}slo = {{ latency = "300ms", quantile = 0.5 }}\n'
        f'[[route]]\nname = "none"\npath = "/n"\n{TO}slo = false\n'
        '[[route]]\npath = "/answers"\nrespond = 204\n'
    )
    assert objectives(loaded(text).config) == [
        Objective("a", 0.0, 0.5, 0.3, 0.5),
        Objective("z", 0.9, 0.99, 1.0, 1.0),
    ]


def test_connections_that_are_passed_on_are_left_out() -> None:
    text = (
        "[defaults]\nslo = { availability = 0.9 }\n"
        '[[listen]]\naddress = ":1"\nname = "db"\nprotocol = "tcp"\n'
        '[[route]]\nto = "tcp://127.0.0.1:9"\nwhen = { listener = "db" }\n'
    )
    assert objectives(loaded(text).config) == []


def test_bounds_are_those_that_metrics_have() -> None:
    instrument = INSTRUMENTS[SERVER_DURATION]
    point = Point((0,) * (len(instrument.boundaries) + 1), 0, ())
    page = expose([Series(instrument, (), point)], "text/plain")[0].decode()
    shown = [part.partition('"')[0] for part in page.split('le="')[1:]]
    assert [str(float(bound)) for bound in BOUNDS] == shown[:-1]


@pytest.mark.parametrize(
    ("latency", "bound"),
    [(0.0, None), (0.001, 0.005), (0.3, 0.5), (0.5, 0.5), (10.0, 10.0), (10.1, None)],
)
def test_the_next_bound_above_tells(latency: float, bound: float | None) -> None:
    assert told_by(latency) == bound


@pytest.mark.parametrize(
    ("latency", "message", "remedy"),
    [
        ("300ms", "judged by the next one, 500ms", '"250ms" or "500ms"'),
        ("1ms", "judged by the next one, 5ms", 'write "5ms"'),
        ("11s", "above 10s, the last bound", 'write "10s" or less'),
    ],
)
def test_check_warns_of_a_latency_between_bounds(latency: str, message: str, remedy: str) -> None:
    text = routes("shop", slo=f'slo = {{ latency = "{latency}" }}')
    (problem,) = misfits(loaded(text))
    assert str(problem).startswith("routes.toml:5: warning: route[0].slo.latency: ")
    assert message in str(problem) and remedy in str(problem)
    result = CliRunner().invoke(main, ["check", "-"], input=text)
    assert (result.exit_code, message in result.output) == (0, True)
    assert CliRunner().invoke(main, ["check", "--strict", "-"], input=text).exit_code == 1


@pytest.mark.parametrize("bound", BOUNDS)
def test_no_warning_of_a_bound(bound: float) -> None:
    text = f'[defaults]\nslo = {{ latency = "{bound * 1000:g}ms" }}\n{routes("a", slo="")}'
    assert misfits(loaded(text)) == []


def test_a_default_is_warned_of_once() -> None:
    text = f'[defaults]\nslo = {{ latency = "300ms" }}\n{routes("a", "b", slo="")}'
    (problem,) = misfits(loaded(text))
    assert str(problem).startswith("routes.toml:2: warning: defaults.slo.latency: ")


def test_beyond_the_last_bound_nothing_is_promised() -> None:
    assert objectives(loaded(routes("a", slo='slo = { latency = "11s" }')).config) == []
