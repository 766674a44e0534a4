"""What `/api/doctor` is answered: the doctor's findings, from what recent telemetry holds now.

One doctor for a desk is kept, with what it has seen: it takes what came since, examines, and keeps
its answer for a moment, so that who asks again and again costs nothing. While one question is
being answered others wait for its answer rather than begin again.
"""

from __future__ import annotations

from typing import Any

from proxy.recent.desk import Answer, Asked, reply
from proxy.recent.doctor import Doctor
from proxy.recent.findings import as_json

FRESH = 2_000_000_000  # ns for which an answer is given again


def answer(asked: Asked) -> Answer:
    """`{"findings": [...], "checked": {"spans": n, "services": [...]}}`."""
    memory = asked.memory
    while memory.get("doctor.busy"):
        yield
    doctor: Doctor = memory.setdefault("doctor", Doctor())
    known: tuple[int, dict[str, Any]] | None = memory.get("doctor.said")
    if known is not None and 0 <= asked.now - known[0] < FRESH:
        return reply(known[1])
    memory["doctor.busy"] = True
    try:
        said = yield from _said(asked, doctor)
    finally:
        memory["doctor.busy"] = False
    memory["doctor.said"] = (asked.now, said)
    return reply(said)


def _said(asked: Asked, doctor: Doctor) -> Any:
    yield from doctor.feed(asked.store.batches(doctor.cursor))
    findings = yield from doctor.examine(asked.now)
    return {
        "findings": as_json(findings),
        "checked": {"spans": doctor.spans, "services": doctor.services},
    }
