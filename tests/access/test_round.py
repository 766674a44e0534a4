"""What several checks of one route make of a request together."""

from __future__ import annotations

import pytest

from proxy.access.check import ABSENT, Asked, Identity, Pending, Refusal, Verdict
from proxy.access.round import Round, Wanted
from proxy.http.head import RequestHead


class Says:
    """A check that says one thing, and counts how often it was asked."""

    kind = "mtls"
    strips: frozenset[bytes] = frozenset()
    hidden_cookies: frozenset[str] = frozenset()
    hidden_queries: frozenset[str] = frozenset()

    def __init__(self, name: str, verdict: Verdict) -> None:
        self.name = name
        self.verdict = verdict
        self.asked = 0

    def decide(self, asked: Asked) -> Verdict:
        self.asked += 1
        return self.verdict


ASKED = Asked(RequestHead(), "10.0.0.1", "http", "a", 0.0)


def who(name: str, scopes: str = "", **claims: object) -> Identity:
    found = Identity(name, f"of {name}")
    found.scopes, found.claims = frozenset(scopes.split()), claims
    return found


def no(status: int, reason: str, challenge: bytes = b"") -> Refusal:
    return Refusal(status, reason, challenge)


def ended(wanted: Wanted) -> Round:
    made = Round(wanted, ASKED)
    assert made.go() is None
    return made


Outcome = tuple[str, int, str]


@pytest.mark.parametrize(
    ("all_of", "any_of", "refused"),
    [
        ([who("a")], [], None),
        ([who("a"), who("b")], [], None),
        ([who("a"), no(401, ABSENT)], [], ("1", 401, ABSENT)),
        ([no(403, "scope"), no(401, ABSENT)], [], ("0", 403, "scope")),
        ([], [no(401, ABSENT), who("b")], None),
        ([], [no(401, "signature"), who("b")], None),
        ([], [no(401, ABSENT), no(401, "expired")], ("1", 401, "expired")),
        ([], [no(401, "expired"), no(401, ABSENT)], ("0", 401, "expired")),
        ([], [no(401, "expired"), no(403, "identity")], ("1", 403, "identity")),
        ([], [no(503, "keys_missing"), no(403, "identity")], ("0", 503, "keys_missing")),
        ([who("a")], [no(401, ABSENT)], ("1", 401, ABSENT)),
        ([who("a")], [who("b")], None),
        ([no(401, ABSENT)], [who("b")], ("0", 401, ABSENT)),
    ],
)
def test_all_and_any(all_of: list[Verdict], any_of: list[Verdict], refused: Outcome | None) -> None:
    checks = [Says(str(i), verdict) for i, verdict in enumerate([*all_of, *any_of])]
    made = ended(Wanted(checks[: len(all_of)], checks[len(all_of) :], [], {}))
    if refused is None:
        assert made.refused is None
        return
    assert made.refused is not None
    name, refusal = made.refused
    assert (name, refusal.status, refusal.reason) == refused


def test_whoever_is_found_first_is_enough() -> None:
    checks = [Says("a", who("a")), Says("b", who("b"))]
    made = ended(Wanted([], checks, [], {}))
    assert [found.check for found in made.identities] == ["a"]
    assert checks[1].asked == 0


def test_all_challenges_are_told() -> None:
    checks = [Says("a", no(401, ABSENT, b"Bearer")), Says("b", no(401, ABSENT, b"Basic"))]
    made = ended(Wanted([], checks, [], {}))
    assert made.refused is not None
    assert made.refused[1].challenge == b"Bearer, Basic"


@pytest.mark.parametrize(
    ("scopes", "claims", "found", "reason"),
    [
        (["read"], {}, who("a", "read write"), None),
        (["read", "admin"], {}, who("a", "read write"), "scope"),
        ([], {"role": "admin"}, who("a", role="admin"), None),
        ([], {"role": "admin"}, who("a", role=["user", "admin"]), None),
        ([], {"role": "admin"}, who("a", role="administrator"), "claims"),
        ([], {"role": "admin"}, who("a"), "claims"),
        ([], {"realm.roles": "admin"}, who("a", realm={"roles": ["admin"]}), None),
        ([], {"ok": "true"}, who("a", ok=True), None),
        ([], {"ok": "1"}, who("a", ok=True), "claims"),
        ([], {"n": "5"}, who("a", n=5), None),
    ],
)
def test_authorization(
    scopes: list[str], claims: dict[str, str], found: Identity, reason: str | None
) -> None:
    made = ended(Wanted([Says("a", found)], [], scopes, claims))
    assert (made.refused and made.refused[1].reason) == reason
    assert made.refused is None or made.refused[1].status == 403


def test_what_is_awaited_is_taken_where_it_belongs() -> None:
    slow = Says("slow", Pending())
    made = Round(Wanted([slow], [Says("b", who("b"))], [], {}), ASKED)
    assert made.go() is slow.verdict
    made.take(who("slow"))
    assert made.go() is None
    assert [found.check for found in made.identities] == ["slow", "b"]
    assert slow.asked == 1
