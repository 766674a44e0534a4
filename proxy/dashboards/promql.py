"""Pieces of PromQL, with names of routes and upstreams in them that may hold anything.

A name is only ever a string literal in a selector. Nothing in it can end the literal, and nothing
in it is a variable to Grafana, which replaces `$name`, `${name}` and `[[name]]` in a query before
Prometheus sees it, whether they stand in a literal or not.
"""

from __future__ import annotations

import re

# Why requests fail for which the gateway or a service is to blame. Answers that are the client's
# doing have an error too, and are none of these (docs/telemetry.md, "Statuses").
BLAMELESS = ("", "client_gone", "forbidden", "rate_limited", "unauthenticated", "upgrade_refused")
FAILED = 'error_type!~"{}"'.format("|".join(BLAMELESS))

SERVED = "http_server_request_duration_seconds"
TRIED = "http_client_request_duration_seconds"
# On /metrics these have the names that all of Prometheus's clients use; written from OTLP, their
# own.
_OPEN = ("process_open_fds", "process_unix_file_descriptor_count")
_MAY_BE_OPEN = ("process_max_fds", "spangate_process_file_descriptor_limit")


# What a literal of PromQL cannot have as it is, and the beginnings of Grafana's variables.
_SPECIAL = re.compile(r'["\\]|[^ -~]|\$(?=[\w{])|\[(?=\[)')


def literal(text: str) -> str:
    """A string literal of PromQL (Go's syntax), quotes included; ASCII alone."""
    return f'"{_SPECIAL.sub(_escaped, text)}"'


def _escaped(found: re.Match[str]) -> str:
    if found[0] in '"\\':
        return "\\" + found[0]
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def of_route(name: str) -> str:
    """A matcher for the requests of one route."""
    return f"spangate_route={literal(name)}"


def in_template(text: str) -> str:
    """The same text once Prometheus has expanded it, as it does with labels of alerts."""
    return text.replace("{{", '{{"{{"}}')


def bound_matcher(seconds: float) -> str:
    """A matcher for the bucket of that upper bound.

    It is "1.0" on /metrics, and "1" where the same histogram came to Prometheus by OTLP.
    """
    text = f"{seconds:g}"
    return f'le=~"{text}|{text}\\\\.0"' if seconds == int(seconds) else f'le="{text}"'


def rate(metric: str, window: str, *matchers: str, by: str = "spangate_route") -> str:
    """What happens in a second, averaged over the window, of what all matchers find."""
    found = ",".join(m for m in matchers if m)
    labels = f" by ({by})" if by else ""
    return f"sum{labels} (rate({metric}{{{found}}}[{window}]))"


def share(part: str, whole: str, by: str = "spangate_route") -> str:
    """part / whole, 0 where there is no series of the part, nothing where the whole is 0.

    A counter of failures is there from the first failure on.
    """
    on = f" on ({by})" if by else ""
    return f"({part}\nor{on} {whole} * 0)\n/ ({whole} > 0)"


def open_files(matcher: str) -> str:
    """The share of its limit that each process of the gateway has open."""
    most, used = (
        " or ".join(f"{name}{{{matcher}}}" for name in names) for names in (_MAY_BE_OPEN, _OPEN)
    )
    return f"({used}) / (({most}) > 0)"
