"""Edits of request fields that the gateway writes itself are told, with what to write instead."""

from __future__ import annotations

import pytest

from proxy.config.load import loads

ROUTE = """
[[route]]
to = "http://10.0.0.1"
headers.request = { EDIT }
"""

# field -> what the remedy names; what else the file says, under which the field is the user's own
FIELDS = {
    "traceparent": ('propagate = { context = "drop" }', None),
    "TraceState": ("propagate = { tracestate = false }", None),
    "baggage": ("propagate = { baggage = false }", None),
    "b3": ("propagate", None),
    "x-b3-traceid": ("propagate", None),
    "x-b3-spanid": ("propagate", None),
    "x-b3-parentspanid": ("propagate", None),
    "x-b3-sampled": ("propagate", None),
    "x-b3-flags": ("propagate", None),
    "X-Request-Id": ("[forwarding] request_id", "forwarding.request_id = false"),
    "X-Forwarded-For": ("[forwarding] x_forwarded", "forwarding.x_forwarded = false"),
    "x-forwarded-proto": ("[forwarding] x_forwarded", "forwarding.x_forwarded = false"),
    "x-forwarded-host": ("[forwarding] x_forwarded", "forwarding.x_forwarded = false"),
    "via": ("[forwarding] via", 'forwarding.via = ""'),
}
KINDS = ['set = { "%s" = "x" }', 'add = { "%s" = "x" }', 'remove = ["%s"]']


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FIELDS)
def test_an_edit_without_effect_is_a_warning(name: str, kind: str) -> None:
    remedy, other = FIELDS[name]
    (problem,) = loads(ROUTE.replace("EDIT", kind % name), "f", {}).warnings
    assert problem.line == 4 and f"{name} is written by the gateway" in problem.message
    assert remedy in problem.remedy
    if other is not None:
        assert loads(f"{other}\n{ROUTE.replace('EDIT', kind % name)}", "f", {}).warnings == []


FORWARDED = 'forwarding.forwarded = true\n[[route]]\nto = "http://h"\nheaders.request = { remove = ["forwarded"] }'  # noqa: E501


def test_forwarded_is_the_gateways_own_only_where_it_is_written() -> None:
    (problem,) = loads(FORWARDED, "f", {}).warnings
    assert "[forwarding] forwarded" in problem.remedy
    assert loads(FORWARDED.replace("true", "false"), "f", {}).warnings == []


@pytest.mark.parametrize("name", ["x-real-ip", "x-forwarded-port", "user-agent", "cookie", "b4"])
def test_what_an_edit_can_touch_is_not_told(name: str) -> None:
    assert loads(ROUTE.replace("EDIT", KINDS[0] % name), "f", {}).warnings == []


KEPT = [
    ("baggage", "baggage = false"),
    ("tracestate", "tracestate = false"),
    ("tracestate", 'context = "drop"'),
    ("Traceparent", 'context = "drop"'),
    ("b3", 'context = "drop"'),
]


@pytest.mark.parametrize(("name", "said"), KEPT)
def test_removing_what_propagate_keeps_away_is_not_told(name: str, said: str) -> None:
    text = ROUTE.replace("EDIT", KINDS[2] % name)
    assert loads(text, "f", {}).warnings != []
    assert loads(f"{text}propagate = {{ {said} }}", "f", {}).warnings == []
    at_upstream = text.replace("http://10.0.0.1", "u") + '[upstream.u]\nservers = "http://h"\n'
    assert loads(at_upstream, "f", {}).warnings != []
    assert loads(f"{at_upstream}propagate = {{ {said} }}", "f", {}).warnings == []
    setting = ROUTE.replace("EDIT", KINDS[0] % name)
    assert loads(f"{setting}propagate = {{ {said} }}", "f", {}).warnings != []
