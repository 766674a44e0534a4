"""What `/api/doctor` is answered: the doctor's findings, from what recent telemetry holds now.

One doctor for a desk is kept, with what it has seen: it takes what came since, examines, and keeps
its answer for a moment, so that who asks again and again costs nothing. While one question is
being answered others wait for its answer rather than begin again.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from proxy.recent.desk import Answer, Asked, reply
from proxy.recent.doctor import Doctor
from proxy.recent.findings import as_json
from proxy.recent.view import Step

FRESH = 2_000_000_000  # ns for which an answer is given again


def answer(asked: Asked) -> Answer:
    """`{"findings": [...], "checked": {"spans": n, "services": [...]}}`."""
    return reply((yield from diagnosis(asked)))


def diagnosis(asked: Asked) -> Generator[Step, None, dict[str, Any]]:
    """The same before it is JSON."""
    memory = asked.memory
    while memory.get("doctor.busy"):
        yield None
    doctor: Doctor = memory.setdefault("doctor", Doctor())
    doctor.w3c_sent, doctor.receives = asked.about.w3c_sent, asked.about.receives
    known: tuple[int, dict[str, Any]] | None = memory.get("doctor.said")
    if known is not None and 0 <= asked.now - known[0] < FRESH:
        return known[1]
    memory["doctor.busy"] = True
    try:
        said = yield from _said(asked, doctor)
    finally:
        memory["doctor.busy"] = False
    memory["doctor.said"] = (asked.now, said)
    return said


def _said(asked: Asked, doctor: Doctor) -> Generator[Step, None, dict[str, Any]]:
    yield from doctor.feed(asked.store.batches(doctor.cursor))
    findings = yield from doctor.examine(asked.now)
    return {
        "findings": as_json(findings),
        "checked": {"spans": doctor.spans, "services": doctor.services},
    }
