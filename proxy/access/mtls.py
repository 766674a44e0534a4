"""Client certificates as credentials: which of those that a listener has verified may come in here.

What counts is what the handshake of this very connection has shown, never what a header says
(X-Forwarded-Client-Cert). Names are compared letter by letter: no case, no percent-encoding, no
path is made equal, since whoever reads the name behind us might not do the same.
"""

from __future__ import annotations

import re

from proxy.access.check import ABSENT, Asked, Identity, Refusal, Verdict
from proxy.access.made import Made
from proxy.config.access_model import Mtls
from proxy.config.access_mtls import parts_of

_REMEMBERED = 1024
# What "*" stands for: a path as SPIFFE has it (SPIFFE-ID §2.2), with no segment that means another.
_REST = re.compile(r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*")


def make(name: str, said: Mtls, made: Made) -> Certificates:
    return Certificates(name, said)


class Certificates:
    """Those that may come in."""

    hidden_cookies: frozenset[str] = frozenset()
    hidden_queries: frozenset[str] = frozenset()

    __slots__ = (
        "_absent", "_any", "_exact", "_header", "_known", "_refused", "_starts", "_subjects",
        "kind", "name", "strips",
    )  # fmt: skip

    def __init__(self, name: str, said: Mtls) -> None:
        self.name = name
        self.kind = "mtls"
        self._exact = frozenset(i for i in said.identities if not i.endswith("/*"))
        self._starts = tuple(i[:-1] for i in said.identities if i.endswith("/*"))
        self._subjects = tuple(parts_of(subject) for subject in said.subjects)
        self._any = not said.identities and not said.subjects
        self._header = said.header.lower().encode("ascii")
        self.strips = frozenset({self._header} if self._header else ())
        self._known: dict[tuple[tuple[str, ...], str], Identity | Refusal] = {}
        # RFC 9110 §15.5.2 wants a challenge, and none is registered for certificates.
        self._absent = Refusal(401, ABSENT, b'ClientCertificate realm="spangate"')
        self._refused = Refusal(403, "identity")

    def decide(self, asked: Asked) -> Verdict:
        shown = asked.identities, asked.certificate_subject
        if not shown[0] and not shown[1]:
            return self._absent
        known = self._known.get(shown)
        if known is None:
            known = self._judge(*shown)
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[shown] = known
        return known

    def _judge(self, identities: tuple[str, ...], subject: str) -> Identity | Refusal:
        found = next(filter(self._is_named, identities), "")
        if not found and self._is_subject(subject):
            found = subject
        if not found and self._any:
            found = (*identities, subject)[0]
        if not found:
            return self._refused
        identity = Identity(self.name, found)
        if self._header:
            identity.headers = [(self._header, _line(found))]
        return identity

    def _is_named(self, identity: str) -> bool:
        if identity in self._exact:
            return True
        return any(
            identity.startswith(start) and _REST.fullmatch(identity, len(start)) is not None
            for start in self._starts
        )

    def _is_subject(self, subject: str) -> bool:
        if not self._subjects or not subject:
            return False
        try:
            parts = parts_of(subject)
        except ValueError:
            return False
        return any(wanted <= parts for wanted in self._subjects)


def _line(name: str) -> bytes:
    """Names of certificates are of strangers where any may come in: visible ASCII alone."""
    return "".join(c if " " <= c <= "~" else "?" for c in name).encode("ascii")
