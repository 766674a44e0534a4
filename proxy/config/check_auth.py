"""What must hold within one check `[auth.NAME]`, each kind by its own rules.

What a file of a kind must hold is known to the module of that kind, which is imported when a
check of it is there: a gateway without checks loads none of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from proxy.config.access_model import Forward, Jwt, Mtls, Oidc
from proxy.config.attributes import RESERVED
from proxy.config.locate import Path
from proxy.config.model import Auth, Config
from proxy.config.own_fields import own_fields
from proxy.config.report import Report
from proxy.config.syntax import is_token

KINDS = Auth.__struct_fields__

Read = Callable[[str, Report, Path], bytes]  # of the file at that path; b"" = it is no use

# Lines of a request that are the connection's, or say where it goes and how long it is.
_TAKEN = frozenset(
    {
        *("connection", "content-length", "host", "keep-alive", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "expect", "content-encoding", "forwarded"),
    }
)
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_WHERE = ("header", "cookie", "query")
_LEEWAY = 300.0  # seconds; clocks that differ by more are wrong


class _Of:
    """One table of a check, and where complaints about it go."""

    __slots__ = ("config", "credentials", "path", "report", "said")

    def __init__(
        self, said: object, path: Path, config: Config, report: Report, read: dict[str, bytes]
    ) -> None:
        self.said, self.path, self.config, self.report = said, path, config, report
        self.credentials = read

    def get(self, key: str) -> object:
        """The value at `key`; None if it is known to be no use."""
        return None if self.report.is_broken(*self.path, key) else getattr(self.said, key)

    def error(self, key: str, message: str, remedy: str = "") -> None:
        self.report.error((*self.path, key) if key else self.path, message, remedy)

    def warn(self, key: str, message: str, remedy: str = "") -> None:
        self.report.warn((*self.path, key) if key else self.path, message, remedy)

    def file(self, key: str, read: Read, missing: str = "") -> None:
        """Have the file that `key` names read; what it holds is kept."""
        name = self.get(key)
        if name == "":
            if not self.report.is_foreign(self.path):
                self.error("", f"`{key}` is missing", missing)
        elif isinstance(name, str) and name not in self.credentials:
            place = os.path.abspath(os.path.join(os.path.dirname(self.report.file), name))
            if key == "secret" and not os.path.exists(place):  # it may be what should be in it
                remedy = "name the file that the key is in; the key itself does not belong here"
                self.error(key, "there is no such file", remedy)
                return
            if packed := read(place, self.report, (*self.path, key)):
                self.credentials[name] = packed


def check_auth(
    check: Auth, path: Path, config: Config, report: Report, credentials: dict[str, bytes]
) -> None:
    """Report what cannot work in one check; its files go to `credentials`."""
    kinds = [kind for kind in KINDS if getattr(check, kind) is not None]
    if not kinds and not report.is_broken(*path):
        remedy = "write jwt = { … }, or api_key, basic, forward, mtls, oidc"
        report.error(path, "this check is of no kind", remedy)
    if len(kinds) > 1:
        remedy = 'write two checks, and auth = { all = ["…", "…"] } where both must hold'
        report.error(path, f"a check is of one kind, and this is {' and '.join(kinds)}", remedy)
    for kind in kinds:
        of = _Of(getattr(check, kind), (*path, kind), config, report, credentials)
        _KINDS[kind](of)


def _jwt(of: _Of) -> None:
    from proxy.config.access_jwks import doubts, problems, read
    from proxy.config.packed_keys import is_url

    said = of.said
    assert isinstance(said, Jwt)
    if not of.report.is_broken(*of.path):
        for key, message, remedy in problems(said):
            if key or not of.report.is_foreign(of.path):
                of.error(key, message, remedy)
        for key, message, remedy in doubts(said):
            of.warn(key, message, remedy)
    if said.jwks and not is_url(said.jwks):
        of.file("jwks", read)
    if said.secret:
        of.file("secret", read)
        _length(of, said)
    _bounds(of)
    _told(of)
    _scopes(of)


def _length(of: _Of, said: Jwt) -> None:
    from proxy.config.access_jwks import too_short

    packed = of.credentials.get(said.secret)
    if packed and None not in said.algorithms and (short := too_short(said, packed)):
        key, message, remedy = short
        of.error(key, message, remedy)


def _bounds(of: _Of) -> None:
    leeway = of.get("leeway")
    if isinstance(leeway, float) and leeway > _LEEWAY:
        of.warn("leeway", "tokens count long after their end", 'write "60s"')
    if of.get("size") == 0:
        of.error("size", "a token cannot be unlimited", "leave it out for the default")


def _api_key(of: _Of) -> None:
    from proxy.config.access_keys import read

    example = 'write "header:x-api-key", "query:key", "cookie:key" or "bearer"'
    _places(of, (*_WHERE, "bearer"), example)
    _field(of, "header")
    of.file("file", read, 'write file = "keys.toml"; `spangate key add` makes it')


def _basic(of: _Of) -> None:
    from proxy.config.access_basic import read

    realm = of.get("realm")
    if isinstance(realm, str) and not re.fullmatch(r"[ !#-\[\]-~]*", realm):
        of.error("realm", "browsers are shown visible ASCII", "leave quotes and backslashes out")
    _field(of, "header")
    remedy = 'write file = "users.htpasswd"; `spangate password NAME` makes a line of it'
    of.file("file", read, remedy)


def _forward(of: _Of) -> None:
    from proxy.config.access_forward import check

    assert isinstance(of.said, Forward)
    if not of.report.is_broken(*of.path):
        check(of.said, of.path, of.report)
    names = of.get("headers")
    for i, name in enumerate(names if isinstance(names, list) else ()):
        if not of.report.is_broken(*of.path, "headers", i):
            _one_field(of, ("headers", i), name)
    _attributes(of)


def _mtls(of: _Of) -> None:
    from proxy.config.access_mtls import check

    assert isinstance(of.said, Mtls)
    if of.said.identities == [] and of.said.subjects == [] and not of.report.is_broken(*of.path):
        message = "whoever has a certificate of `client_ca` may come in"
        of.warn("", message, 'write identities = ["spiffe://partner/*"], or subjects')
    check(of.said, of.report, of.path)
    _field(of, "header")
    listeners = of.config.listen
    asks = any(listener and listener.tls and listener.tls.client_ca for listener in listeners)
    if not asks and not of.report.is_broken("listen"):
        remedy = 'write client_ca = "clients.pem" in `tls` of [[listen]]'
        of.error("", "no listener asks for client certificates", remedy)


def _oidc(of: _Of) -> None:
    from proxy.config.access_oidc import check

    assert isinstance(of.said, Oidc)
    check(of.said, of.report, of.path)
    _told(of)


def _places(of: _Of, kinds: tuple[str, ...], example: str) -> None:
    places = of.report.is_broken(*of.path, "in")
    found = [] if places else getattr(of.said, "places", [])
    if not found and not places:
        of.error("in", "there is no place to look at", example)
    for i, place in enumerate(found):
        kind, _, name = place.partition(":")
        bare = kind == "bearer" and not name
        named = bool(name) and (kind == "query" or is_token(name))
        if kind not in kinds or not (bare or named):
            of.report.error((*of.path, "in", i), f"{place!r} is no place in a request", example)


def _told(of: _Of) -> None:
    """Claims that upstreams and spans are told of, and conditions on them."""
    headers = of.get("headers")
    for name in headers if isinstance(headers, Mapping) else ():
        if not of.report.is_broken(*of.path, "headers", name):
            _one_field(of, ("headers", name), name)
    for key in ("headers", "claims"):
        table = of.get(key)
        for name, claim in table.items() if isinstance(table, Mapping) else ():
            if not (claim if key == "headers" else name):
                of.report.error((*of.path, key, name), "a claim has a name", 'write "sub"')
    _attributes(of)


def _attributes(of: _Of) -> None:
    attributes = of.get("attributes")
    for key in attributes if isinstance(attributes, Mapping) else ():
        if not key or key.startswith(RESERVED):
            message = f"{key!r} belongs to the gateway"
            of.report.error((*of.path, "attributes", key), message, 'write "user.id"')


def _scopes(of: _Of) -> None:
    scopes = of.get("scopes")
    for i, scope in enumerate(scopes if isinstance(scopes, list) else ()):
        if scope is not None and not _SCOPE.fullmatch(scope):
            remedy = 'write ["orders:read", "orders:write"], one for each'
            of.report.error((*of.path, "scopes", i), f"{scope!r} is no scope", remedy)


def _field(of: _Of, key: str) -> None:
    name = of.get(key)
    if isinstance(name, str) and name:
        _one_field(of, (key,), name)


def _one_field(of: _Of, below: Path, name: str) -> None:
    """A line that upstreams are told something by."""
    place, lower = (*of.path, *below), name.lower()
    if not is_token(name):
        remedy = "letters, digits and -; no blanks, no colon"
        of.report.error(place, f"{name!r} is not a header name", remedy)
    elif "_" in name:
        remedy = f'write "{name.replace("_", "-")}"'
        of.report.error(place, f"{name}: some servers take _ for -", remedy)
    elif lower in _TAKEN or lower in own_fields(of.config):
        of.report.error(
            place, f"{name} is the gateway's own", 'write another name, such as "x-user"'
        )


_KINDS: dict[str, Callable[[_Of], None]] = {
    "jwt": _jwt,
    "api_key": _api_key,
    "basic": _basic,
    "forward": _forward,
    "mtls": _mtls,
    "oidc": _oidc,
}
