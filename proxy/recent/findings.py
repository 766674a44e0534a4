"""Finding: what is wrong with a service, how that is known, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_EVIDENCE = 5

DROPPED, RESTARTED, CORRUPTED = "context_dropped", "context_restarted", "context_corrupted"
FLAG, STATE, BAGGAGE = "sampled_flag_changed", "tracestate_lost", "baggage_lost"
B3, TRUNCATED = "b3_for_w3c", "trace_id_truncated"
SKEW, MISSING = "clock_skew", "spans_missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """`service` is the name of an upstream, or of a route where `kind` is about routes."""

    service: str
    kind: str
    confidence: float  # 0 to 1
    evidence: tuple[str, ...]  # trace ids in hex, the newest last
    remedy: str
    summary: str  # one sentence, with counts


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Those that are surest first."""
    ordered = sorted(findings, key=lambda f: (-f.confidence, f.service, f.kind))
    return [
        {
            "service": finding.service,
            "kind": finding.kind,
            "confidence": round(finding.confidence, 2),
            "evidence": list(finding.evidence),
            "remedy": finding.remedy,
            "summary": finding.summary,
        }
        for finding in ordered
    ]
