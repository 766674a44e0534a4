"""The checks of one request, one after the other: who it is, or why it is refused.

All of `all` must find somebody, and one of `any`. Whoever calls `go` awaits what it gives back,
hands the outcome to `take`, and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.access.check import ABSENT, Asked, Check, Identity, Pending, Refusal
from proxy.access.conditions import fulfils

_SCOPE = b'Bearer error="insufficient_scope"'  # RFC 6750 §3.1


class Wanted:
    """What a route asks for; made once."""

    __slots__ = ("all", "any", "checks", "claims", "names", "scopes")

    def __init__(
        self,
        all_of: Sequence[Check],
        any_of: Sequence[Check],
        scopes: Sequence[str],
        claims: Mapping[str, str],
    ) -> None:
        self.all = tuple(all_of)
        self.any = tuple(any_of)
        self.scopes = frozenset(scopes)
        self.claims = claims
        self.checks = self.all + self.any
        self.names = tuple([check.name for check in self.checks])

    def __bool__(self) -> bool:
        return bool(self.checks)


class Round:
    """One of them. It is over when `go` says None: then `refused` says who, or nobody, did."""

    __slots__ = ("_asked", "_at", "_refusals", "_wanted", "identities", "refused")

    def __init__(self, wanted: Wanted, asked: Asked) -> None:
        self._wanted = wanted
        self._asked = asked
        self._at = 0
        self._refusals: list[tuple[str, Refusal]] = []
        self.identities: list[Identity] = []
        self.refused: tuple[str, Refusal] | None = None  # (name of the check, why)

    def go(self) -> Pending | None:
        """Ask until all is known (None), or something has to be awaited: then `take` what came."""
        checks = self._wanted.checks
        while self.refused is None and self._at < len(checks):
            verdict = checks[self._at].decide(self._asked)
            if isinstance(verdict, Pending):
                return verdict
            self.take(verdict)
        if self.refused is None:
            self._conclude()
        return None

    def take(self, verdict: Identity | Refusal) -> None:
        """What the check has said whose turn it is."""
        wanted, at = self._wanted, self._at
        self._at += 1
        if isinstance(verdict, Identity):
            self.identities.append(verdict)
            if at >= len(wanted.all):
                self._at = len(wanted.names)  # one of `any` is enough
                self._refusals = []
            return
        said = (wanted.names[at], verdict)
        if at < len(wanted.all):
            self.refused = said
        else:
            self._refusals.append(said)

    def _conclude(self) -> None:
        if self._refusals:
            self.refused = _most_telling(self._refusals)
        elif not self._suffices():
            refusal = Refusal(403, "scope", _SCOPE)
            if self._scopes() >= self._wanted.scopes:
                refusal = Refusal(403, "claims")
            self.refused = (self.identities[-1].check, refusal)

    def _scopes(self) -> frozenset[str]:
        return frozenset().union(*(identity.scopes for identity in self.identities))

    def _suffices(self) -> bool:
        wanted = self._wanted
        if wanted.scopes and not self._scopes() >= wanted.scopes:
            return False
        return not wanted.claims or any(
            fulfils(identity.claims, wanted.claims) for identity in self.identities
        )


def _most_telling(refusals: list[tuple[str, Refusal]]) -> tuple[str, Refusal]:
    """Of those of `any`: what was shown and did not do tells more than what was not shown. All
    challenges are told (RFC 9110 §11.6.1)."""
    name, first = max(refusals, key=lambda said: _rank(said[1]))
    if first.status != 401:
        return name, first
    challenges = list(dict.fromkeys(r.challenge for _, r in refusals if r.challenge))
    joined = b", ".join(challenges)
    return name, Refusal(401, first.reason, joined, first.lines, first.reply)


def _rank(refusal: Refusal) -> int:
    """503 before 403, before what is no good, before a page to log in, before nothing at all."""
    if refusal.status in (503, 429):
        return 5
    if refusal.status == 403:
        return 4
    if refusal.reason == ABSENT:
        return 1 if refusal.reply is None else 2
    return 3 if refusal.reply is None else 2
