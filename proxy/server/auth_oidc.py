"""`[auth.NAME] oidc`: who has logged in with a browser, and how one does.

A session is a sealed cookie (`access/oidc_session.py`), so that any worker knows it. A page without
one sends its browser to the issuer, which sends it back to `callback`; the hub exchanges the code
that came with it and verifies who that is (`hub/oidc.py`). Whatever cannot be a page gets 401.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from hashlib import sha256
from secrets import token_bytes, token_urlsafe
from typing import Any
from urllib.parse import quote, urlencode

from proxy.access import claims as claim
from proxy.access import oidc_pages as pages
from proxy.access.check import ABSENT, Asked, Identity, Pending, Refusal, Verdict
from proxy.access.conditions import fulfils, lookup
from proxy.access.jws import Unsound
from proxy.access.made import Made
from proxy.access.oidc_ask import UNAVAILABLE, Answer, Question
from proxy.access.oidc_browser import is_navigation, is_own, origin
from proxy.access.oidc_return import Return, read
from proxy.access.oidc_session import (
    FLOW,
    Flow,
    Jar,
    Names,
    Seals,
    Session,
    kept,
    local,
    state_of,
)
from proxy.access.remembered import Remembered
from proxy.access.sealed import NONCE
from proxy.config.access_model import Oidc as Said
from proxy.config.syntax import is_loopback
from proxy.http.head import Pair
from proxy.server.oidc_issuer import Issuer
from proxy.server.reply import Reply

MOST, WEIGHT = 4096, 8 * 1024 * 1024  # sessions that are remembered, and bytes of their cookies

_CHALLENGE = b'Cookie realm="spangate"'  # RFC 9110 §15.5.2 wants one; browsers know none of a login
_DOWN = Refusal(503, UNAVAILABLE, lines=((b"retry-after", b"5"), pages.NO_STORE))


def make(name: str, said: Said, made: Made) -> Oidc:
    """The check. ValueError if there is no secret, as a config check would say."""
    asks = made.house.asks if made.house is not None else None
    return Oidc(name, said, Issuer(asks, said.issuer, said.client_id))


class Oidc:
    """One check in one worker."""

    kind = "oidc"
    hidden_queries: frozenset[str] = frozenset()

    __slots__ = (
        "_local_names", "_names", "_opened", "_own", "_refusals", "hidden_cookies", "issuer",
        "name", "said", "seals", "strips",
    )  # fmt: skip

    def __init__(self, name: str, said: Said, issuer: Issuer) -> None:
        self.name = name
        self.said = said
        self.issuer = issuer
        self.seals = Seals(name, said)
        self.strips = frozenset(field.lower().encode() for field in said.headers)
        self._own = (said.callback, said.logout)  # paths that are answered here
        self._names = Names(said.cookie, True)
        self._local_names = Names(said.cookie, False)
        self.hidden_cookies = self._names.hidden | self._local_names.hidden
        self._opened: Remembered[tuple[Identity, float]] = Remembered(MOST, WEIGHT)
        reasons = (ABSENT, "malformed", "expired")
        self._refusals = {reason: Refusal(401, reason, _CHALLENGE) for reason in reasons}

    def decide(self, asked: Asked) -> Verdict:
        said, path = self.said, asked.head.path
        names = self._names if asked.scheme == "https" else self.names(asked)
        line = asked.head.get(b"cookie")
        if line is not None and path not in self._own and (cookie := names.alone(line)) is not None:
            known = self._opened.get(cookie)
            if known is not None and asked.now < known[1] and known[0].cookies is names.hidden:
                return known[0]
        jar = Jar(names, line)
        if path == said.callback:
            return self._returned(asked, names, jar)
        if path == said.logout and path:
            return self._logout(asked, names, jar)
        reason = ABSENT
        if jar.session is not None:
            found = self._identity(asked, jar.session)
            if isinstance(found, Identity):
                return _hiding(found, names, jar)
            if isinstance(found, Refusal):
                return found
            reason = found
        return self._login(asked, names, jar, reason)

    def names(self, asked: Asked) -> Names:
        """Of the cookies as this browser has them."""
        return self._names if is_secure(asked) else self._local_names

    def _identity(self, asked: Asked, cookie: bytes) -> Identity | Refusal | str:
        """Whose session it is; or why it is none, in a word."""
        known = self._opened.get(cookie)
        if known is not None and asked.now < known[1]:
            return known[0]
        session = self.seals.session(cookie, asked.now)
        if isinstance(session, str):
            return session
        try:
            identity = self._made(session)
        except Unsound:
            return self._forbidden(asked)
        self._opened.put(cookie, (identity, session.until), len(cookie))
        return identity

    def _made(self, session: Session) -> Identity:
        """Unsound if what is known of the user does not suffice, or cannot be told."""
        said, claims = self.said, session.claims
        if said.claims and not fulfils(claims, said.claims):
            raise Unsound(claim.CLAIMS)
        identity = Identity(self.name, session.subject)
        identity.claims, identity.scopes = claims, frozenset(session.scopes)
        for field, path in said.headers.items():
            if (value := claim.line(lookup(claims, path))) is not None:
                identity.headers.append((field.lower().encode(), value))
        for key, path in said.attributes.items():
            if (told := claim.attribute(lookup(claims, path))) is not None:
                identity.attributes.append((key, told))
        return identity

    def _forbidden(self, asked: Asked) -> Refusal:
        if not is_navigation(asked):
            return Refusal(403, claim.CLAIMS)
        return Refusal(403, claim.CLAIMS, reply=Reply(403, *pages.forbidden(self.said.logout)))

    def _login(self, asked: Asked, names: Names, jar: Jar, reason: str) -> Verdict:
        if not is_navigation(asked):
            return self._refusals[reason]
        if asked.scheme == "http" and names is self._names:
            return failed("scheme", "/")  # its cookies would not be kept: round in circles
        known = self.issuer.known(asked.now)
        if known is None:
            return Finding(self, asked, lambda found: self.send_away(asked, names, jar, found))
        return self.send_away(asked, names, jar, known)

    def send_away(self, asked: Asked, names: Names, jar: Jar, issuer: Answer) -> Refusal:
        """To the issuer, with a cookie that knows what for."""
        if issuer.reason:
            return _DOWN
        said, head = self.said, asked.head
        back = local(head.path + head.tail)
        flow = Flow(
            int(asked.now) + FLOW, state_of(asked.now, token_urlsafe(32)), token_urlsafe(32),
            token_urlsafe(32), back, origin(asked) + said.callback,
        )  # fmt: skip
        sealed = self.seals.seal_flow(flow, token_bytes(NONCE))
        lines = [forget(names, name) for name in jar.surplus()]
        lines.append((b"set-cookie", names.line(names.flow(flow.state), sealed, FLOW)))
        where = authorization(issuer.authorization, said, flow)
        return Refusal(302, "login", reply=redirect(302, where, lines))

    def _returned(self, asked: Asked, names: Names, jar: Jar) -> Verdict:
        """The issuer has sent the browser back."""
        came = read(asked.head.query) if asked.head.method == "GET" else None
        name = names.flow(came.state) if came is not None else ""
        sealed = jar.flows.get(name)
        flow = None
        if came is not None and sealed is not None:
            flow = self.seals.flow(sealed, came.state, asked.now)
        if flow is None or came is None or flow.redirect_uri != origin(asked) + self.said.callback:
            return failed("no_flow", "/")
        gone = [forget(names, name)]
        if came.code == "":
            return failed("refused", flow.back, gone)
        if came.issuer not in ("", self.said.issuer):
            return failed(claim.ISSUER, flow.back, gone)
        return Exchanging(self, asked, self._question(asked, came, flow), flow, gone)

    def _question(self, asked: Asked, came: Return, flow: Flow) -> Question:
        said = self.said
        return Question(
            said.issuer, said.client_id, asked.now, said.client_secret, came.code, flow.verifier,
            flow.nonce, flow.redirect_uri, came.issuer,
        )  # fmt: skip

    def logged_in(self, asked: Asked, flow: Flow, gone: list[Pair], found: Answer) -> Refusal:
        """What the issuer says of the code: a session, or none."""
        if found.reason == UNAVAILABLE:
            return _DOWN
        if found.reason:
            return failed(found.reason, flow.back, gone)
        said, names = self.said, self.names(asked)
        until = int(asked.now + said.session)
        scopes = said.scopes if found.scopes is None else found.scopes
        for claims in kept(found.claims, said):
            session = Session(until, found.claims["sub"], scopes, claims)
            value = self.seals.seal_session(session, token_bytes(NONCE))
            if names.fits(value):
                line = names.line(names.session, value, int(said.session))
                lines = [*gone, (b"set-cookie", line)]
                return Refusal(303, "", reply=redirect(303, self._back(flow), lines))
        return failed("too_large", flow.back, gone)

    def _back(self, flow: Flow) -> str:
        back = local(flow.back)
        return "/" if back.partition("?")[0] in (self.said.callback, self.said.logout) else back

    def _logout(self, asked: Asked, names: Names, jar: Jar) -> Verdict:
        if asked.head.method not in ("GET", "POST") or not is_own(asked):
            reply = Reply(403, *pages.ask_logout(self.said.logout))
            return Refusal(403, "cross_site", reply=reply)
        known = self.issuer.known(asked.now)
        if known is None:
            return Finding(self, asked, lambda found: self.log_out(asked, names, jar, found))
        return self.log_out(asked, names, jar, known)

    def log_out(self, asked: Asked, names: Names, jar: Jar, issuer: Answer) -> Refusal:
        """Here in any case; and at the issuer, if it is there and can (RP-Initiated Logout 1.0)."""
        lines = [forget(names, name) for name in (names.session, *jar.flows)]
        where, end = "/", issuer.end_session
        if end:
            told = {
                "client_id": self.said.client_id,
                "post_logout_redirect_uri": f"{origin(asked)}/",
            }
            where = _with(end, told)
        return Refusal(303, "", reply=redirect(303, where, lines))


class Finding(Pending):
    """A request that waits until it is known where the issuer is."""

    __slots__ = ("_check", "_forget", "_now", "_then")

    def __init__(self, check: Oidc, asked: Asked, then: Callable[[Answer], Refusal]) -> None:
        self._check = check
        self._now = asked.now
        self._then = then
        self._forget: Callable[[], None] | None = None

    def begin(self, story: Any, done: Callable[[Verdict], None]) -> None:
        issuer = self._check.issuer
        self._forget = issuer.find(self._now, lambda found: done(self._then(found)))

    def stop(self) -> None:
        if self._forget is not None:
            self._forget()


class Exchanging(Pending):
    """A browser that has come back, while its code is exchanged."""

    __slots__ = ("_asked", "_check", "_done", "_flow", "_gone", "_question")

    def __init__(
        self, check: Oidc, asked: Asked, question: Question, flow: Flow, gone: list[Pair]
    ) -> None:
        self._check = check
        self._asked = asked
        self._question = question
        self._flow = flow
        self._gone = gone
        self._done: Callable[[Verdict], None] | None = None

    def begin(self, story: Any, done: Callable[[Verdict], None]) -> None:
        self._done = done
        self._check.issuer.exchange(self._question, self._found)

    def stop(self) -> None:
        self._done = None

    def _found(self, found: Answer) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self._check.logged_in(self._asked, self._flow, self._gone, found))


def is_secure(asked: Asked) -> bool:
    """Whether its browser keeps cookies that are for TLS alone; on loopback it need not."""
    return asked.scheme != "http" or not is_loopback(asked.host.strip("[]"))


def authorization(endpoint: str, said: Said, flow: Flow) -> str:
    """Where a browser is sent to log in (OpenID Connect Core 1.0 §3.1.2.1, RFC 7636 §4.3)."""
    challenge = sha256(flow.verifier.encode()).digest()
    scopes = said.scopes if "openid" in said.scopes else ["openid", *said.scopes]
    asked = {
        "response_type": "code",
        "client_id": said.client_id,
        "redirect_uri": flow.redirect_uri,
        "scope": " ".join(scopes),
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": unpadded(challenge),
        "code_challenge_method": "S256",
    }
    return _with(endpoint, asked)


def unpadded(data: bytes) -> str:
    """base64url without "="."""
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(data).rstrip(b"=").decode()


def failed(reason: str, back: str, lines: list[Pair] | None = None) -> Refusal:
    """A page that says so."""
    head, body = pages.failed(reason, back)
    return Refusal(403, reason, reply=Reply(403, [*head, *(lines or [])], body))


def redirect(status: int, where: str, lines: list[Pair]) -> Reply:
    head: list[Pair] = [(b"location", where.encode()), pages.NO_STORE, *lines]
    return Reply(status, head, b"")


def forget(names: Names, name: str) -> Pair:
    """The line that makes a browser forget a cookie."""
    return b"set-cookie", names.line(name, b"", 0)


def _with(url: str, parameters: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters, quote_via=quote)}"


def _hiding(identity: Identity, names: Names, jar: Jar) -> Identity:
    """With the names of the cookies that the upstream must not see."""
    if not jar.flows:
        identity.cookies = names.hidden
        return identity
    alike = copy(identity)  # for this request alone
    alike.cookies = names.hidden | frozenset(jar.flows)
    return alike
