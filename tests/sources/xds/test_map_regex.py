"""Which regular expressions are taken: what RE2 has, and what cannot hold a worker."""

from __future__ import annotations

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.xds.map_regex import map_regex
from proxy.sources.xds.reading import Refused

GOOD = [
    "/api/[0-9]+/.*", "(/[^/]+)*", "/([a-z0-9]+-)*[a-z]+", "(?i)/a|/b", "/(?P<id>[^/]+)", "",
    "/(a{2,5}){3}", ".*?/x", "(?:/v[12])?/.*", "/(a|b)+", r"/\d+(\.\d+)*", "(?:GET|PUT)",
    "([^/]+/)*x", "(/(users|units|orgs))*", r"(\w+\s)*", "([a-z]+=[0-9]+&?)*", "([0-9a-f]{2}:?)+",
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*test", r"([0-9]{1,3}\.)+", "(foo|foobar)*", "((a|b)c?)*",
    "(a{4}b|a{5}b)*", "(?i)([a-z]+/)*", "(ab?)*",
    "((a|[a-z])/)*", "([a-z]+é)*", "(" + "ab" * 2000 + ")+",
]  # fmt: skip
BAD = [
    ("/(?=a)a", "which RE2 does not have"), ("/(?!a).*", "(?!…), which RE2 does not have"),
    ("(?<=a)b", "which RE2 does not have"), (r"/(a)\1", "a reference to a group"),
    ("/(?>a+)b", "(?>…), which RE2"), ("/a++b", "a possessive +"), (r"/\pL", "cannot be read here"),
    ("/(a+)+$", "repeats a repetition"), ("/(a*)*", "repeats a repetition"),
    (r"/(\w+\s?)*", "repeats a repetition"), ("/(?:[a-z]+|[0-9]+)*", "repeats a repetition"),
    ("/((a+)?b?)+", "repeats a repetition"), ("/(?:x|(a+)+)y", "repeats a repetition"),
    (r"([0-9]{1,3}\.?)+", "repeats a repetition"), ("([a-z]{1,3}-?)+", "repeats a repetition"),
    ("(a?a)+", "or a choice"), ("(a{1,2})+", "or a choice"), ("(a|aa)+", "or a choice"),
    ("(a?b?)*", "or a choice"), ("(GET|[A-Z]{3})*", "or a choice"), ("(.*,)*", "or a choice"),
    ("((ab|[a-z]b)/)*", "or a choice"), ("([a-z]+=[a-z]+)*", "or a choice"),
    ("(a?/a?)+", "or a choice"), ("((a?)+/)+", "or a choice"),
    ("(((a)?){1,3}/)+", "or a choice"), ("((a|a))*", "or a choice"), ("(a(b?|c?))*", "or a choice"),
    ("(?i)(a|A[b]?b?)+", "or a choice"), ("(é+|É?é)*", "or a choice"),
    ("(" + "a?" * 2000 + "b)+", "repeats so much"), ("(((x{0,0}){900}){900})+", "repeats so much"),
    ("a" * 4097, "has 4097 characters, more than 4096"),
    ("(" * 500 + ")" * 500, "cannot be read here"),
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_re2_has_is_taken(text: str) -> None:
    assert map_regex(text) == "~" + text


@pytest.mark.parametrize(("text", "why"), BAD, ids=[text[:20] for text, _ in BAD])
def test_what_it_has_not_or_what_never_ends_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        map_regex(text)
    assert why in str(refused.value)
