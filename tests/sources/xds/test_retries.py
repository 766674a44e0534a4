"""What the hub refused is tried again by itself, each name at its own times."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.xds.kinds import CDS, EDS, LDS
from proxy.sources.xds.protos import V3, message
from proxy.sources.xds.reading import Reader
from proxy.sources.xds.session import Session
from proxy.sources.xds.state import RETRY, RETRY_LONGEST, State
from proxy.sources.xds.stream_delta import Delta
from tests.peers import xds_made as made
from tests.sources.xds.test_session import TAKEN, WRONG, bound, clusters, listener, opened, response

A, B = "127.0.0.1:1", "127.0.0.1:2"


def heard_clusters(session: Session, version: int, now: float) -> None:
    """The state of the world once more: c, which is bad, as it was, and d with a change."""
    changed = made.cluster("d", connect_timeout=f"{version}s")
    session.received(response(CDS, str(version), made.cluster("c"), changed), now)


def heard_listeners(session: Session, version: int, now: float, *names: str) -> None:
    said = [made.listener(name, port, "r") for name, port in (("a", 1), ("b", 2)) if name in names]
    session.received(response(LDS, str(version), *said), now)


def tried(session: Session, now: float, *refused: str) -> list[str]:
    """Which of "a" and "c" are in the states that are given at that time, until one is in force;
    these are refused."""
    found: list[str] = []
    while (out := session.flush(now)).tables is not None:
        given: dict[str, Any] = {
            "a": A in bound(out),
            "c": "connect_timeout" in out.tables.upstreams["c"],
        }
        found += [name for name in "ac" if given[name]]
        reasons = {"a": TAKEN, "c": WRONG}
        session.settled(out.number, [reasons[one] for one in refused if given[one]], now)
    return found


def begun() -> Session:
    """Both a listener and a cluster are refused at 0."""
    session = clusters(made.cluster("c"), made.cluster("d"))
    heard_listeners(session, 2, 0.0, "a", "b")
    assert tried(session, 0.0, "a", "c") == ["a", "c"]
    return session


def test_a_bad_cluster_that_comes_often_keeps_no_listener_from_being_tried() -> None:
    session = begun()
    found = []
    for n in range(2, 40):
        now = 9.0 * n
        heard_clusters(session, n, now)
        found += [now] if "a" in tried(session, now, "a", "c") else []
    # 10 s after 0, then after 20, 40, ..., each at the first push from then on
    assert found == [18.0, 45.0, 90.0, 171.0, 333.0]


def test_the_first_retry_comes_soon_whatever_was_refused_before() -> None:
    session = clusters(made.cluster("c"), made.cluster("d"))
    now = 0.0
    heard_listeners(session, 2, now, "b")
    while tried(session, now, "c"):
        due = session.due(now)
        assert due is not None
        if due - now == RETRY_LONGEST:
            break
        now = due
    now += 1.0
    heard_listeners(session, 3, now, "a", "b")
    assert tried(session, now, "a", "c") == ["a"]
    assert session.due(now) == now + RETRY
    assert tried(session, now + RETRY - 1.0, "a", "c") == []
    assert tried(session, now + RETRY, "a", "c") == ["a"]
    assert session.due(now + RETRY) == now + 3 * RETRY


def test_what_was_in_force_begins_anew() -> None:
    session = begun()
    assert tried(session, RETRY, "a", "c") == ["a", "c"]
    now = 3 * RETRY
    assert tried(session, now, "c") == ["a", "c", "a"]
    heard_listeners(session, 3, now, "a", "b")
    assert session.due(now) == 7 * RETRY  # of c, which was refused three times
    session.received(response(LDS, "4", made.listener("a", 3, "r")), now)
    assert tried(session, now) == []  # it has gone elsewhere
    heard_listeners(session, 5, now, "a", "b")
    assert tried(session, now, "a") == ["a"]
    assert session.due(now) == now + RETRY


def test_what_has_left_begins_anew() -> None:
    session = begun()
    assert tried(session, RETRY, "a", "c") == ["a", "c"]
    heard_listeners(session, 3, RETRY, "b")
    session.received(response(CDS, "2", made.cluster("d")), RETRY)
    assert tried(session, RETRY) == []
    assert session.due(RETRY) is None
    heard_listeners(session, 4, RETRY, "a", "b")
    heard_clusters(session, 3, RETRY)
    session.received(response(EDS, "2", made.endpoints("c", 1)), RETRY)
    assert tried(session, RETRY, "a", "c") == ["a", "c"]
    assert session.due(RETRY) == 2 * RETRY


def test_what_comes_while_a_state_without_it_is_put_into_force_does_not_begin_anew() -> None:
    session = begun()
    assert tried(session, RETRY, "a", "c") == ["a", "c"]
    heard_clusters(session, 6, RETRY)
    out = session.flush(RETRY)
    session.settled(out.number, [WRONG], RETRY)
    out = session.flush(RETRY)
    heard_clusters(session, 7, RETRY)
    session.settled(out.number, [], RETRY)
    heard_listeners(session, 3, RETRY, "b")
    assert tried(session, RETRY, "c") == ["c"]
    assert session.due(RETRY) == 9 * RETRY  # the fourth time


def test_listeners_that_exchange_addresses_are_tried_in_one_state() -> None:
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    session.received(response(LDS, "1", listener("a", 1), listener("b", 2)), 0.0)
    session.settled(session.flush(0.0).number, [], 0.0)
    session.received(response(LDS, "2", listener("a", 2), listener("b", 1)), 1.0)
    out = session.flush(1.0)
    session.settled(out.number, [TAKEN], 1.0)
    out = session.flush(1.2)
    assert bound(out) == [A, B], "as they were, since b finds a at its address"
    session.settled(out.number, [], 1.4)
    assert session.flush(RETRY + 0.9).tables is None
    assert session.due(1.4) == RETRY + 1.0
    out = session.flush(RETRY + 1.0)
    assert bound(out) == [B, A]
    session.settled(out.number, [], RETRY + 1.0)
    assert session.due(RETRY + 1.0) is None


def test_what_is_refused_here_is_told_on_when_the_one_before_it_is_tried_again() -> None:
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    session.received(response(LDS, "1", listener("a", 1)), 0.0)
    session.settled(session.flush(0.0).number, [TAKEN], 0.0)
    worse = listener("a", 1)
    worse.use_original_dst.value = True
    (why,) = session.received(response(LDS, "2", worse), 1.0).refused
    session.settled(session.flush(1.0).number, [], 1.0)
    out = session.flush(RETRY)
    assert bound(out) == [A]
    session.settled(out.number, [TAKEN], RETRY)
    out = session.flush(RETRY)
    session.settled(out.number, [], RETRY)
    out = session.flush(3 * RETRY)
    assert bound(out) == [A]
    assert out.tables is not None
    assert (out.tables.left_out, out.tables.kept) == ([f"xDS {why}"], [f"xDS {why}"])


def delta(kind: Any, version: int, *resources: Any) -> Any:
    one = message(f"{V3}.DeltaDiscoveryResponse")(type_url=kind.url, nonce=f"{kind.url}{version}")
    for resource in resources:
        said = one.resources.add(name=resource.name, version=str(version))
        said.resource.Pack(resource)
    return one


def test_listeners_that_exchange_addresses_one_after_the_other_are_tried_in_one_state() -> None:
    """Each finds the other one, as it was, at its address."""
    stream = Delta(message("envoy.config.core.v3.Node")(id="n"))
    session = Session(stream, State(Reader(), ()))
    session.connected(0.0)
    session.received(delta(CDS, 1), 0.0)
    session.received(delta(LDS, 1, listener("a", 1), listener("b", 2)), 0.0)
    session.settled(session.flush(0.0).number, [], 0.0)
    for version, now, name, port in ((2, 1.0, "a", 2), (3, 5.0, "b", 1)):
        session.received(delta(LDS, version, listener(name, port)), now)
        out = session.flush(now)
        assert bound(out) == [A, B]
        session.settled(out.number, [], now)
    assert session.due(5.0) == 1.0 + RETRY
    out = session.flush(1.0 + RETRY)
    assert bound(out) == [B, A]
    session.settled(out.number, [], 1.0 + RETRY)
    assert session.due(1.0 + RETRY) is None
