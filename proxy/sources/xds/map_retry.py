"""RetryPolicy -> the table `retry`."""

from __future__ import annotations

from typing import Any

from proxy.sources.xds.reading import Reader, Refused, text_of

SERVER_ERRORS = [500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511]  # that are registered
# What Envoy calls it -> what the file says
WORDS: dict[str, list[int | str]] = {
    "5xx": [*SERVER_ERRORS, "connect", "reset"],
    "gateway-error": [502, 503, 504, "connect", "reset"],
    "connect-failure": ["connect"],
    "reset": ["reset"],
    "reset-before-request": ["connect"],
    "refused-stream": ["connect"],
    "retriable-4xx": [409],
    "cancelled": ["cancelled"],
    "deadline-exceeded": ["deadline-exceeded"],
    "internal": ["internal"],
    "resource-exhausted": ["resource-exhausted"],
    "unavailable": ["unavailable"],
}
# Envoy tries every method again that the policy is for
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
SPARING = "envoy.retry_host_predicates.previous_hosts"  # another server if there is one: as here


def map_retry(policy: Any, reader: Reader) -> dict[str, Any] | None:
    """None where nothing is tried again. Refused for conditions that are unknown here."""
    reader.only(
        policy, "retry_on", "num_retries", "per_try_timeout", "retriable_status_codes",
        "retry_back_off", "retry_host_predicate",
    )  # fmt: skip
    for predicate in policy.retry_host_predicate:
        if predicate.name != SPARING:
            raise Refused(f"RetryPolicy.retry_host_predicate {predicate.name} is not supported")
    on: list[int | str] = []
    for word in filter(None, (part.strip() for part in policy.retry_on.split(","))):
        if word == "retriable-status-codes":
            on += policy.retriable_status_codes
        elif word in WORDS:
            on += WORDS[word]
        else:
            raise Refused(f"RetryPolicy.retry_on {word} is not supported")
    times = policy.num_retries.value if policy.HasField("num_retries") else 1
    if not on or not times:
        return None
    made: dict[str, Any] = {"times": times, "on": list(dict.fromkeys(on)), "methods": METHODS}
    if policy.HasField("per_try_timeout"):
        made["per_try"] = text_of(policy.per_try_timeout)
    if policy.HasField("retry_back_off"):
        reader.only(policy.retry_back_off, "base_interval", "max_interval")
        made["backoff"] = text_of(policy.retry_back_off.base_interval)
    return made
