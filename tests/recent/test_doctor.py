"""Who is named, for what, and who is not: services on paper, as `world.py` plays them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.recent import findings as kinds
from proxy.recent.doctor import Doctor
from proxy.recent.findings import as_json
from tests.recent.world import BEGAN, MS, NO_CONTEXT, Context, Service, World, crowd, rounds

LADEN = Context(state="vendor=1", baggage=True)
UNSAMPLED = replace(NO_CONTEXT, sampled=False)
BROKEN = [
    ("drops", NO_CONTEXT, kinds.DROPPED),
    ("restarts", NO_CONTEXT, kinds.RESTARTED),
    ("renames", NO_CONTEXT, kinds.RESTARTED),
    ("corrupts", NO_CONTEXT, kinds.CORRUPTED),
    ("clears", NO_CONTEXT, kinds.FLAG),
    ("sets", UNSAMPLED, kinds.FLAG),
    ("stateless", LADEN, kinds.STATE),
    ("unladen", LADEN, kinds.BAGGAGE),
    ("b3", NO_CONTEXT, kinds.B3),
    ("b3 unread", NO_CONTEXT, kinds.B3),
    ("halves", NO_CONTEXT, kinds.TRUNCATED),
]
SOUND = ["copies", "traces"]


def named(world: World, doctor: Doctor | None = None) -> set[tuple[str, str]]:
    return {(finding.service, finding.kind) for finding in world.findings(doctor)}


def three(way: str, **more: object) -> World:
    """A service that copies, one of that way, and one that calls nobody."""
    middle = Service(way, ["last"], **more)  # type: ignore[arg-type]
    return World({"first": Service(calls=["middle"]), "middle": middle, "last": Service()})


@pytest.mark.parametrize(("way", "context", "kind"), BROKEN)
@pytest.mark.parametrize("asked", [["first", "middle", "last"], ["first"], ["middle", "last"]])
def test_a_broken_service_is_named(way: str, context: Context, kind: str, asked: list[str]) -> None:
    world = three(way)
    rounds(world, asked, 20, context)
    assert named(world) == {("middle", kind)}


@pytest.mark.parametrize("way", SOUND)
@pytest.mark.parametrize("context", [NO_CONTEXT, UNSAMPLED, LADEN])
@pytest.mark.parametrize("passes_id", [True, False])
def test_a_sound_service_is_not(way: str, context: Context, passes_id: bool) -> None:
    world = three(way, passes_id=passes_id)
    rounds(world, ["first", "middle", "last"], 20, context)
    assert named(world) == set()


def test_a_finding_has_evidence_and_a_remedy() -> None:
    world = three("drops")
    rounds(world, ["first"], 8)
    (finding,) = world.findings()
    traces = {span.trace_id.hex() for span in world.spans}
    assert len(finding.evidence) == 5 and set(finding.evidence) <= traces
    assert "OTEL" in finding.remedy or "OpenTelemetry" in finding.remedy
    assert finding.summary.startswith("middle makes calls without the trace context")
    (told,) = as_json([finding])
    assert set(told) == {"service", "kind", "confidence", "evidence", "remedy", "summary"}
    assert 0.3 < told["confidence"] < 1


@pytest.mark.parametrize("way", ["drops", "restarts", "corrupts"])
def test_a_request_id_that_is_passed_on_is_proof_among_many(way: str) -> None:
    world = three(way, passes_id=True)
    crowd(world, ["first", "middle", "last"], 32, 20)
    found = {f.kind: f for f in world.findings()}
    assert [(f.service, f.confidence > 0.9) for f in found.values()] == [("middle", True)]


def test_an_id_that_a_client_gives_to_all_of_its_requests_proves_nothing() -> None:
    world = World({"slow": Service(works=50 * MS), "other": Service()})
    for number in range(20):
        mine = Context(request_id=f"{number:032x}")
        end = world.request(number * 100 * MS, "slow", mine)
        for at in range(number * 100 * MS + 5 * MS, end - 20 * MS, 10 * MS):
            world.request(at, "other", mine)
            world.request(at + 1 * MS, "other", mine)
    assert named(world) == set()


def test_one_or_two_are_no_habit() -> None:
    world = three("drops")
    rounds(world, ["first"], 2)
    assert named(world) == set()


def test_spans_that_never_arrive() -> None:
    world = three("traces", exports=False)
    rounds(world, ["first", "middle", "last"], 8)
    assert named(world) == set()  # nobody's arrive: there may be no way for them
    assert named(world, Doctor(receives=True)) == {("middle", kinds.MISSING)}


@pytest.mark.parametrize("ahead", [-3000 * MS, -60 * MS, 60 * MS, 3000 * MS])
def test_a_clock_that_is_wrong(ahead: int) -> None:
    world = three("traces", ahead=ahead)
    rounds(world, ["first"], 8)
    (finding,) = world.findings()
    assert (finding.service, finding.kind) == ("middle", kinds.SKEW)
    assert f"{ahead // MS:+d}"[:2] in finding.summary


@pytest.mark.parametrize("ahead", [-40 * MS, 0, 40 * MS])
def test_a_clock_that_is_right_enough(ahead: int) -> None:
    world = three("traces", ahead=ahead)
    rounds(world, ["first"], 8)
    assert named(world) == set()


def test_a_browser_that_asks_two_services_at_once_is_no_service() -> None:
    world = World({"slow": Service(works=50 * MS), "quick": Service()})
    browser = Context(agent="Mozilla/5.0")
    for number in range(30):
        world.request(number * 200 * MS, "slow", browser)
        world.request(number * 200 * MS + 5 * MS, "quick", browser)
    assert named(world) == set()


def test_a_client_elsewhere_is_no_service() -> None:
    world = World({"slow": Service(works=50 * MS, address="10.0.0.1"), "quick": Service()})
    for number in range(30):
        world.request(number * 200 * MS, "slow", NO_CONTEXT, "10.0.0.9")
        world.request(number * 200 * MS + 5 * MS, "quick", NO_CONTEXT, "10.0.0.9")
    assert named(world) == set()


def test_requests_that_came_while_a_service_was_busy_all_the_time_say_nothing() -> None:
    world = World({"busy": Service(works=95 * MS), "other": Service()})
    for number in range(50):
        world.request(number * 100 * MS, "busy", NO_CONTEXT)
        world.request(number * 100 * MS + 40 * MS, "other", NO_CONTEXT)
    assert named(world) == set()


sound_services = st.builds(
    Service,
    way=st.sampled_from(SOUND),
    works=st.sampled_from([MS // 2, 3 * MS, 30 * MS]),
    passes_id=st.booleans(),
)


@given(
    st.lists(sound_services, min_size=2, max_size=6),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.sampled_from([NO_CONTEXT, LADEN, UNSAMPLED]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_sound_services_are_ever_accused(
    services: list[Service], clients: int, seed: int, context: Context, own_traces: bool
) -> None:
    names = [f"s{number}" for number in range(len(services))]
    for number, service in enumerate(services):
        service.calls = names[number + 1 : number + 2 + number % 2]
    world = World(dict(zip(names, services, strict=True)), seed)
    crowd(world, names, clients, 200 // clients)
    mine = world.random.randbytes(16) if own_traces else b""
    rounds(world, names, 5, replace(context, trace=mine, parent=mine[:8]))
    assert named(world, Doctor(receives=True)) == set()


@given(
    st.lists(st.sampled_from([MS // 2, 3 * MS, 60 * MS]), min_size=1, max_size=6),
    st.integers(0, 2**32),
    st.sampled_from([2 * MS, 50 * MS, 1000 * MS]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_second_client_now_and_then_gets_nobody_accused(
    works: list[int], seed: int, pause: int, chained: bool
) -> None:
    services = {f"s{n}": Service(works=work) for n, work in enumerate(works)}
    if chained:
        for n, service in enumerate(list(services.values())[:-1]):
            service.calls = [f"s{n + 1}"]
    world = World(services | {"other": Service(works=10 * MS)}, seed)
    rounds(world, list(services), 60 // len(services))
    until, now = max(span.end for span in world.spans), BEGAN
    while now < until:
        now = world.request(now, "other", NO_CONTEXT) + int(world.random.expovariate(1 / pause))
    assert named(world) == set()


@pytest.mark.parametrize("seed", range(5))
def test_nobody_sound_is_accused_beside_a_broken_one_in_a_crowd(seed: int) -> None:
    services = {f"s{n}": Service(calls=[f"s{(n + 1) % 10}"] if n % 3 else []) for n in range(10)}
    services["s4"].way = "drops"
    world = World(services, seed)
    crowd(world, list(services), 32, 20)
    assert {service for service, _ in named(world)} <= {"s4"}


def test_of_very_many_only_whole_traces_are_looked_at() -> None:
    world = three("stateless")
    for _ in range(20):
        crowd(world, ["first"], 32, 20)
    world.spans = [s for s in world.spans if s.kind]
    doctor = Doctor()
    assert len(world.spans) > 60_000
    rounds(world, ["first"], 50, LADEN)
    assert named(world, doctor) == {("middle", kinds.STATE)}
    assert doctor.spans < 60_000
