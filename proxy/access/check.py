"""What a check is asked, and what it may say.

A refusal names a reason of a few words (a metric goes by it) and never what the client sent:
whoever reads a trace or a metric must not learn a secret from it, nor what is nearly one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.http.head import Pair, RequestHead

ABSENT = "absent"  # the reason where a request shows nothing that the check could judge


class Asked:
    """What a request shows. Nobody changes it."""

    __slots__ = (
        "certificate_subject", "client", "head", "host", "identities", "now", "port", "scheme"
    )  # fmt: skip

    def __init__(self, head: RequestHead, client: str, scheme: str, host: str, now: float) -> None:
        self.head = head
        self.client = client  # the true client's address, "" = a Unix socket
        self.scheme = scheme  # of the client's connection
        self.host = host
        self.port = 0  # of the authority that was asked for, 0 = not said
        self.now = now  # Unix seconds
        self.identities: tuple[str, ...] = ()  # URI names of the verified certificate
        self.certificate_subject = ""  # its subject (RFC 4514), "" = there is none


class Identity:
    """Who the caller is, as one check has found."""

    __slots__ = (
        "answer", "attributes", "check", "claims", "cookies", "headers", "name", "scopes"
    )  # fmt: skip

    def __init__(self, check: str, name: str) -> None:
        self.check = check  # the check's name in the file
        self.name = name  # of whom: subject, consumer, user
        self.headers: list[Pair] = []  # lines for the upstream; names in lower case
        self.attributes: list[tuple[str, str | int]] = []  # of the SERVER span
        self.claims: Mapping[str, Any] = {}
        self.scopes: frozenset[str] = frozenset()
        self.answer: list[Pair] = []  # lines of the answer, Set-Cookie
        # names that the upstream must not see, besides the check's `hidden_cookies`
        self.cookies: frozenset[str] = frozenset()


class Refusal:
    """Why not. 401: no or no valid credentials; 403: valid ones that do not suffice; 503: nobody
    knows (RFC 9110 §15.5.2, §15.5.4, §15.6.4)."""

    __slots__ = ("challenge", "lines", "reason", "reply", "status")

    def __init__(
        self,
        status: int,
        reason: str,
        challenge: bytes = b"",
        lines: tuple[Pair, ...] = (),
        reply: Any = None,
    ) -> None:
        self.status = status
        self.reason = reason  # one of a few, lower case with "_"; "" = `reply` refuses nothing
        self.challenge = challenge  # for WWW-Authenticate
        self.lines = lines  # further lines of the answer, such as Retry-After
        self.reply = reply  # a server.reply.Reply, where the whole answer is given


class Pending:
    """What must be awaited. `begin` calls `done` once, maybe at once, with an Identity or a
    Refusal; `stop`: nobody waits any more. `story` is what a check in `server/` may need."""

    def begin(self, story: Any, done: Any) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """The request is over."""


Verdict = Identity | Refusal | Pending


class Check(Protocol):
    """One `[auth.NAME]`, ready for requests."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str:
        """jwt, api_key, basic, forward, mtls, oidc."""

    @property
    def strips(self) -> frozenset[bytes]:
        """Names of lines that no client may send to the upstream: those that the check itself
        adds, and credentials that are not kept. Lower case, in every spelling."""

    @property
    def hidden_cookies(self) -> frozenset[str]:
        """Names of cookies that hold such credentials: no upstream sees them, whoever lets in."""

    @property
    def hidden_queries(self) -> frozenset[str]:
        """The same of query parameters."""

    def decide(self, asked: Asked) -> Verdict: ...
