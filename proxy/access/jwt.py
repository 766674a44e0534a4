"""`[auth.NAME] jwt`: a signed token that says who its bearer is (RFC 6750, RFC 7519, RFC 8725).

A token is verified once and remembered by its hash, until it ends or the keys change. What a
refusal says to the client is the few words of RFC 6750 §3.1; its reason is for traces and metrics.
Where keys come from and how they get here is not known here: see `Keys`.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from proxy.access import claims as claim
from proxy.access.check import ABSENT, Asked, Identity, Pending, Refusal, Verdict
from proxy.access.conditions import fulfils, lookup
from proxy.access.jws import ALGORITHM, MALFORMED, TYPE, Jws, Unsound, parse
from proxy.access.keyset import Key, KeySet, is_long, warm
from proxy.access.places import look_for, named
from proxy.access.remembered import Remembered
from proxy.config.access_model import Jwt as Said
from proxy.config.packed_keys import is_url

SIGNATURE, UNKNOWN, MISSING = "signature", "key_unknown", "keys_missing"
REALM = b'Bearer realm="spangate"'

LONGEST = 300.0  # seconds that a result counts
BAD = 10.0  # seconds that a bad signature is remembered, in a memory of its own
MOST, WEIGHT = 4096, 8 * 1024 * 1024  # tokens, and bytes of tokens

_INVALID = (
    MALFORMED, ALGORITHM, TYPE, SIGNATURE, UNKNOWN,
    claim.EXPIRED, claim.NOT_YET, claim.ISSUER, claim.AUDIENCE,
)  # fmt: skip


class Keys(Protocol):
    """Keys of issuers that are fetched from URLs."""

    def current(self, url: str) -> KeySet | None:
        """What counts now; None = none are known."""

    def may_ask(self, url: str, now: float) -> bool:
        """Whether it makes sense to have them fetched for a token whose key is unknown."""

    def ask(self, url: str, now: float, done: Callable[[], None]) -> Callable[[], None]:
        """Have them fetched; `done` is called once, within some seconds, whatever became of it.
        What is returned ends the waiting."""


# Does the first somewhere else, and calls the second with what it says.
Elsewhere = Callable[[Callable[[], bool], Callable[[bool], None]], None]


class Known(NamedTuple):
    """What was found out about a token."""

    verdict: Identity | Refusal
    until: float  # Unix seconds
    keys: KeySet | None  # by these


def make(name: str, said: Said, made: Any) -> Jwt:
    """The check `[auth.NAME]`; `made` is a `made.Made`."""
    warm(said.algorithms)
    files = [said.secret, "" if is_url(said.jwks) else said.jwks]
    held = [made.material.credentials.get(file, b"") for file in files if file]
    keys = made.house.keysets if is_url(said.jwks) and made.house is not None else None
    elsewhere = made.house.keysets.elsewhere if made.house is not None else None
    return Jwt(name, said, KeySet(*held), keys, elsewhere)


class Jwt:
    """One check. `fixed` are keys that files hold, `keys` those that are fetched."""

    __slots__ = (
        "_absent", "_algorithms", "_bad", "_elsewhere", "_fixed", "_good", "_keys", "_look",
        "_refusals", "_said", "_wanted", "hidden_cookies", "hidden_queries", "kind", "name",
        "strips",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        said: Said,
        fixed: KeySet,
        keys: Keys | None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.name = name
        self.kind = "jwt"
        self.strips = _strips(said)
        kept = said.keep
        self.hidden_cookies = frozenset() if kept else named(said.places, "cookie")
        self.hidden_queries = frozenset() if kept else named(said.places, "query")
        self._said = said
        self._fixed = fixed
        self._keys = keys
        self._elsewhere = elsewhere
        self._look = look_for(said.places)
        self._algorithms = frozenset(said.algorithms)
        self._wanted = claim.Wanted(
            said.issuer, frozenset(said.audience), said.leeway, said.require_exp, said.max_age
        )
        self._refusals = _refusals(said)
        self._absent = Refusal(401, ABSENT, REALM)
        self._good: Remembered[Known] = Remembered(MOST, WEIGHT)
        self._bad: Remembered[Known] = Remembered(MOST, WEIGHT)

    def decide(self, asked: Asked) -> Verdict:
        try:
            token = self._look(asked.head)
        except Unsound as error:
            return self._refusals[error.reason]
        if token is None:
            return self._absent
        return self.judge(token, asked.now)

    def judge(self, token: bytes, now: float, again: bool = False) -> Verdict:
        """What `token` is worth at `now`. `again`: the keys have just been fetched for it."""
        keys = self._keys.current(self._said.jwks) if self._keys is not None else None
        digest = sha256(token).digest()
        known = self._good.get(digest) or self._bad.get(digest)
        if known is not None and known.keys is keys and now < known.until:
            return known.verdict
        self._good.forget(digest)
        try:
            return self._find_out(token, digest, keys, now)
        except Unsound as error:
            return self._refused(error.reason, token, now, again)

    def _find_out(self, token: bytes, digest: bytes, keys: KeySet | None, now: float) -> Verdict:
        jws = parse(token, self._said.size, self._algorithms, self._said.typ)
        candidates = self._candidates(jws, keys)

        def is_signed() -> bool:
            return any(key.verifies(jws.alg, jws.signed, jws.signature) for key in candidates)

        def conclude(signed: bool) -> Identity | Refusal:
            try:
                return self._conclude(jws if signed else None, token, digest, keys, now)
            except Unsound as error:
                return self._refusals[error.reason]

        if self._elsewhere is not None and is_long(candidates):
            return Verifying(self._elsewhere, is_signed, conclude)
        return conclude(is_signed())

    def _conclude(
        self, jws: Jws | None, token: bytes, digest: bytes, keys: KeySet | None, now: float
    ) -> Identity:
        """Whom the token tells of; Unsound if it is not signed (None), or does not suffice."""
        if jws is None:
            bad = Known(self._refusals[SIGNATURE], now + BAD, keys)
            self._bad.put(digest, bad, len(token))
            raise Unsound(SIGNATURE)
        claims = jws.claims()
        until = claim.check(claims, self._wanted, now)
        identity = self._identity(claims)
        self._good.put(digest, Known(identity, min(until, now + LONGEST), keys), len(token))
        return identity

    def _candidates(self, jws: Jws, keys: KeySet | None) -> list[Key]:
        """The keys that may have signed it, at least one; Unsound if there is none."""
        sets = [self._fixed] if keys is None else [self._fixed, keys]
        found = [key for one in sets for key in one.candidates(jws.kid, jws.alg)]
        if found:
            return found
        if keys is None and (self._keys is not None or not len(self._fixed)):
            raise Unsound(MISSING)
        if any(one.has(jws.kid) for one in sets):
            raise Unsound(ALGORITHM)  # the key is known, and is not for that
        raise Unsound(UNKNOWN)

    def _refused(self, reason: str, token: bytes, now: float, again: bool) -> Refusal | Pending:
        keys, url = self._keys, self._said.jwks
        if reason == UNKNOWN and keys is not None and not again and keys.may_ask(url, now):
            return Fetching(self, keys, url, token, now)
        return self._refusals[reason]

    def _identity(self, claims: dict[str, Any]) -> Identity:
        """Whom they tell of; Unsound if that does not suffice, or cannot be told."""
        said, scopes = self._said, claim.scopes(claims)
        if not scopes.issuperset(said.scopes):
            raise Unsound(claim.SCOPE)
        if said.claims and not fulfils(claims, said.claims):
            raise Unsound(claim.CLAIMS)
        identity = Identity(self.name, claims.get("sub", ""))
        identity.claims, identity.scopes = claims, scopes
        for field, path in said.headers.items():
            if (value := claim.line(lookup(claims, path))) is not None:
                identity.headers.append((field.lower().encode(), value))
        for key, path in said.attributes.items():
            if (told := claim.attribute(lookup(claims, path))) is not None:
                identity.attributes.append((key, told))
        return identity


class Fetching(Pending):
    """A token whose key is unknown waits for the issuer's keys, once."""

    __slots__ = ("_check", "_forget", "_keys", "_now", "_token", "_url")

    def __init__(self, check: Jwt, keys: Keys, url: str, token: bytes, now: float) -> None:
        self._check = check
        self._keys = keys
        self._url = url
        self._token = token
        self._now = now
        self._forget: Callable[[], None] | None = None

    def begin(self, story: Any, done: Callable[[Verdict], None]) -> None:
        def decide() -> None:
            verdict = self._check.judge(self._token, self._now, again=True)
            if isinstance(verdict, Pending):
                self._forget = verdict.stop
                verdict.begin(story, done)
            else:
                done(verdict)

        forget = self._keys.ask(self._url, self._now, decide)
        self._forget = self._forget or forget  # it may have been answered at once

    def stop(self) -> None:
        if self._forget is not None:
            self._forget()


class Verifying(Pending):
    """A signature that takes long is verified in a thread."""

    __slots__ = ("_conclude", "_elsewhere", "_is_over", "_work")

    def __init__(
        self,
        elsewhere: Elsewhere,
        work: Callable[[], bool],
        conclude: Callable[[bool], Identity | Refusal],
    ) -> None:
        self._elsewhere = elsewhere
        self._work = work
        self._conclude = conclude
        self._is_over = False

    def begin(self, story: Any, done: Callable[[Verdict], None]) -> None:
        def decide(signed: bool) -> None:
            verdict = self._conclude(signed)
            if not self._is_over:
                done(verdict)

        self._elsewhere(self._work, decide)

    def stop(self) -> None:
        self._is_over = True


def _strips(said: Said) -> frozenset[bytes]:
    names = {name.lower().encode() for name in said.headers}
    if not said.keep:
        names |= {name.lower().encode() for name in named(said.places, "header")}
    return frozenset(names)


def _refusals(said: Said) -> dict[str, Refusal]:
    """By reason. RFC 6750 §3.1: `insufficient_scope` may say which scopes would do."""
    invalid = REALM + b', error="invalid_token"'
    lacking = REALM + b', error="insufficient_scope"'
    scopes = " ".join(said.scopes).encode()
    found = {reason: Refusal(401, reason, invalid) for reason in _INVALID}
    found[claim.CLAIMS] = Refusal(403, claim.CLAIMS, lacking)
    wanted = lacking + b', scope="' + scopes + b'"' if scopes else lacking
    found[claim.SCOPE] = Refusal(403, claim.SCOPE, wanted)
    found[MISSING] = Refusal(503, MISSING, lines=((b"retry-after", b"5"),))
    return found
