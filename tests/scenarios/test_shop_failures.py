"""What the trace of a shop tells when something in it fails, is refused, or forgets the context."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.mesh import ca_files
from tests.hub.gateway import fetch, until
from tests.scenarios.receiver import Seen, receiver
from tests.scenarios.shop import NAMES, Shop, command, shop
from tests.scenarios.test_shop import WHOLE, changed

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with receiver() as told, shop(tmp_path_factory.mktemp("shop"), told) as made:
        yield made


def down_to_payments(status: int) -> set[tuple[str, str, int, str]]:
    """What all spans say that only pass a failure on, from the user to the call of payments."""
    said = {(name, "CLIENT", status, str(status)) for name in ("gateway", "users", "orders")}
    return said | {(name, "SERVER", status, str(status)) for name in ("gateway", "users", "orders")}


def tells(spans: list[Seen], *services: str) -> set[tuple[object, ...]]:
    return {one.tells for one in spans if one.service in services}


def tries(spans: list[Seen]) -> list[Seen]:
    """Those of orders at payments, in their order."""
    found = [one for one in spans if one["spangate.upstream"] == "payments"]
    return sorted(found, key=lambda one: one.span.start_time_unix_nano)


CUT = 12  # requests whose context is lost


def test_where_nothing_is_copied_the_tree_breaks_and_the_doctor_names_it(running: Shop) -> None:
    admin = running.sidecars["orders"].admin
    pause = threading.Event()
    with changed(running.apps["orders"], copies=()):
        for i in range(CUT):
            pause.wait(0.3)  # an application that is always at work cannot be told by time
            assert running.ask(f"/shop/cut{i}")[0] == 200
    spans = running.receiver.trace("/shop/cut0", 7)
    assert {one.service for one in spans} == {"gateway", "users", "orders"}

    def lost() -> list[Seen]:
        roots = [s for s in running.receiver.spans() if not s.span.parent_span_id]
        found = [one for one in roots if one.said == ("orders", "CLIENT")]
        return found if len(found) == CUT else []

    assert {one["spangate.upstream"] for one in until(lost)} == {"payments"}

    def told() -> str:
        said = command("doctor", "--admin", f"http://127.0.0.1:{admin}").stdout
        return said if "context_dropped" in said else ""

    said = until(told)
    assert said.startswith("orders  context_dropped") and "copy traceparent" in said
    assert "payments" in said.splitlines()[1]  # whom it calls


def test_an_application_that_fails_is_told_at_each_level(running: Shop) -> None:
    with changed(running.apps["payments"], does="fail"):
        assert running.ask("/shop/fail") == (500, b"users orders no")
    spans = running.receiver.trace("/shop/fail", 10)
    assert all(one.failed for one in spans)
    assert tells(spans, "gateway", "users", "orders") == down_to_payments(500)
    assert tells(spans, "payments") == {
        ("payments", "SERVER", 500, "500"),
        ("payments", "CLIENT", 500, "500"),
    }
    assert len(tries(spans)) == 1  # an answer of the application is none to be asked for again


def test_an_application_that_dies_is_tried_again_and_each_try_has_a_span(running: Shop) -> None:
    with changed(running.apps["payments"], does="close"):
        assert running.ask("/shop/dies")[0] == 502
    spans = running.receiver.trace("/shop/dies", 13)
    first, second = tries(spans)
    assert first.span.parent_span_id == second.span.parent_span_id
    assert first.span.end_time_unix_nano <= second.span.start_time_unix_nano
    assert [one["http.request.resend_count"] for one in (first, second)] == [None, 1]
    served = [one for one in spans if one.said == ("payments", "SERVER")]
    assert {one.span.parent_span_id for one in served} == {
        first.span.span_id,
        second.span.span_id,
    }
    assert tells(spans, "gateway", "users", "orders") == down_to_payments(502)
    assert tells(spans, "payments") == {
        ("payments", "SERVER", 502, "connection_reset"),
        ("payments", "CLIENT", None, "connection_reset"),
    }


def test_who_waits_too_long_says_so_itself(running: Shop) -> None:
    answered = threading.Event()
    with changed(running.apps["payments"], waits=answered):
        assert running.ask("/shop/slow")[0] == 504
        answered.set()
        spans = running.receiver.trace("/shop/slow", len(WHOLE) + 1)
    (one,) = tries(spans)
    assert one.tells == ("orders", "CLIENT", None, "timeout")
    (said,) = (s for s in spans if s.span.span_id == one.span.parent_span_id)
    assert said.tells == ("orders", "SERVER", 504, "timeout")
    assert tells(spans, "gateway", "users") <= down_to_payments(504)
    (served,) = (s for s in spans if s.said == ("payments", "SERVER"))
    assert served["http.response.status_code"] is None  # nobody has waited for it
    # What the application did all the same is in the tree as well.
    assert ("database", "SERVER", 200, None) in tells(spans, "database")


def test_who_may_not_is_refused_and_told(running: Shop) -> None:
    before = len(running.apps["users"].asked)
    with changed(running.apps["orders"], following="users"):
        assert running.ask("/shop/back")[0] == 403
    spans = running.receiver.trace("/shop/back", 9)
    (refused,) = (one for one in spans if one["spangate.denied.reason"])
    assert refused.tells == ("users", "SERVER", 403, "forbidden")
    assert refused["spangate.denied.reason"] == "identity"
    assert refused["spangate.peer.identity"] == "spiffe://mesh/orders"
    assert [event.name for event in refused.span.events] == ["spangate.access.denied"]
    assert len(running.apps["users"].asked) == before + 1  # by the gateway
    admin = running.sidecars["users"].admin
    counted = 'spangate_access_denied_total{spangate_check="mesh",spangate_denied_reason="identity"'
    until(lambda: counted in fetch(admin, "/metrics")[2].decode())
    shown = command("mesh", "status", "--admin", f"http://127.0.0.1:{admin}")
    assert shown.returncode == 0
    assert "spiffe://mesh/users  for " in shown.stdout and "spiffe://mesh/orders" in shown.stdout
    assert ["request", "identity", "1"] in [line.split() for line in shown.stdout.splitlines()]


@pytest.mark.parametrize("side", ["inbound", "outbound"])
def test_a_sidecar_that_is_called_by_its_own_application_is_no_loop(
    side: str, running: Shop
) -> None:
    port = running.inbound["orders"] if side == "inbound" else running.apps["orders"].outbound
    with changed(running.apps["orders"], following=f"127.0.0.1:{port}"):
        status, body = running.ask(f"/shop/loop-{side}")
    assert status == 508 and b"that is this sidecar itself" in body
    spans = running.receiver.trace(f"/shop/loop-{side}", 8)
    assert ("orders", "SERVER", 508, "508") in tells(spans, "orders")


def test_certificates_are_renewed_under_load_and_no_request_is_lost(running: Shop) -> None:
    stop, wrong, answered = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            said = running.ask("/shop/load")
            (answered if said == (200, b"users orders payments database") else wrong).append(said)

    def renewed(name: str) -> float:
        lines = fetch(running.sidecars[name].admin, "/metrics")[2].decode().splitlines()
        start = 'spangate_mesh_identity_renewals_total{result="success"}'
        return next(float(line.split()[-1]) for line in lines if line.startswith(start))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = {name: renewed(name) for name in NAMES}
            seen = len(answered) + len(wrong)
            os.utime(Path(running.ca, ca_files.STATE))  # who sees a change takes another one
            until(lambda b=before: all(renewed(name) > b[name] for name in NAMES))
            until(lambda s=seen: len(answered) + len(wrong) >= s + 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == [] and len(answered) >= 90
