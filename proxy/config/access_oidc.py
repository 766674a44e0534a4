"""What must hold of `[auth.NAME] oidc`: a login that could not work, or that others could fake."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from proxy.config.access_model import Oidc
from proxy.config.locate import Path
from proxy.config.report import Report
from proxy.config.syntax import is_loopback, is_token

SHORTEST = 32  # characters of a secret that cookies are sealed with

Problem = tuple[str, str, str]  # key, message, remedy
_MADE = '`openssl rand -base64 32` makes one; write secret = "${file:/run/secrets/cookies}"'


def check(said: Oidc, report: Report, path: Path) -> None:
    """Report what is wrong with it, and what others may come to know."""
    if report.is_broken(*path):
        return
    for key, message, remedy in _problems(said):
        if not (report.is_foreign(path) and message.endswith("is missing")):
            report.error((*path, key), message, remedy)
    for key, message, remedy in _doubts(said, report, path):
        if not report.has_failed(*path, key):
            report.warn((*path, key), message, remedy)


def _problems(said: Oidc) -> Iterator[Problem]:
    yield from _issuer(said.issuer)
    if said.client_id == "":
        yield "client_id", "`client_id` is missing", "the issuer gives one to each application"
    yield from _secret(said.secret)
    yield from _paths(said)
    yield from _cookie(said.cookie)
    if "openid" not in said.scopes:
        yield "scopes", "without openid nobody says who it is", 'write ["openid", "email"]'
    if said.session < 1:
        yield "session", "a login would be over at once", 'write "8h"'


def _issuer(issuer: str) -> Iterator[Problem]:
    if issuer == "":
        yield "issuer", "`issuer` is missing", 'write issuer = "https://id.example"'
        return
    try:
        url = urlsplit(issuer)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if not host or url.scheme not in ("http", "https"):
        yield "issuer", "this is no URL", 'write "https://id.example"'
    elif url.query or url.fragment or url.username is not None:
        yield "issuer", "an issuer has no query, fragment or user", 'write "https://id.example"'
    elif issuer.endswith("/.well-known/openid-configuration"):
        yield "issuer", "this is the URL of its document", "leave /.well-known/… out"
    elif url.scheme == "http" and not is_loopback(host):
        yield "issuer", "whoever is between could say who has logged in", "write https://"


def _secret(secret: str) -> Iterator[Problem]:
    lines = [line.strip() for line in secret.splitlines() if line.strip()]
    if not lines:
        yield "secret", "`secret` is missing", _MADE
    elif min(map(len, lines)) < SHORTEST:
        yield "secret", f"a secret of less than {SHORTEST} characters can be guessed", _MADE


def _paths(said: Oidc) -> Iterator[Problem]:
    for key, example in (("callback", "/oauth2/callback"), ("logout", "/oauth2/logout")):
        value = getattr(said, key)
        if key == "logout" and value == "":
            continue
        if not value.startswith("/") or value.startswith("//") or not _is_path(value):
            yield key, f"{value!r} is not a path", f'write "{example}"'
    if said.callback == said.logout and said.callback:
        yield "logout", "this is the path of `callback`", 'write "/oauth2/logout"'


def _is_path(value: str) -> bool:
    return len(value) > 1 and all("!" <= c <= "~" and c not in '?#\\%*"<>' for c in value)


def _cookie(name: str) -> Iterator[Problem]:
    bare = name.removeprefix("__Host-")
    if not bare or not is_token(name) or len(name) > 64:
        yield "cookie", f"{name!r} is no name of a cookie", 'write "__Host-shop"'
    elif not name.startswith("__Host-"):
        message = "other hosts of the domain could set such a cookie"
        yield "cookie", message, f'write "__Host-{name.removeprefix("__Secure-")}"'


def _doubts(said: Oidc, report: Report, path: Path) -> Iterator[Problem]:
    for key in ("client_secret", "secret"):
        if getattr(said, key) and (*path, key) not in report.elsewhere:
            message = "whoever reads this file knows the secret"
            yield key, message, f'write "${{file:/run/secrets/{key}}}"'
    if said.session > 30 * 86400:
        message = "a cookie that is stolen counts for so long"
        yield "session", message, 'write "8h"'
