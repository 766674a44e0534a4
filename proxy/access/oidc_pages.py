"""What a browser is shown where a login cannot go on: pages of fixed words, nothing of which comes
from a request but a path of this host, escaped."""

from __future__ import annotations

from html import escape

from proxy.http.head import Pair

NO_STORE: Pair = (b"cache-control", b"no-store")

_LINES: tuple[Pair, ...] = (
    (b"content-type", b"text/html; charset=utf-8"),
    NO_STORE,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)

_WORDS = {
    "no_flow": "This login was not begun in this browser, has been used already, or took too long.",
    "refused": "The login service has refused it.",
    "scheme": "Logins work over https:// alone.",
    "claims": "You are logged in, but may not see this page.",
    "too_large": "The login service says more of you than fits into a cookie.",
}
_FAILED = "What the login service has said is not valid."


def failed(reason: str, back: str) -> tuple[list[Pair], bytes]:
    """Head and body of a page that says why not, and where to begin anew: the path `back`."""
    words = escape(_WORDS.get(reason, _FAILED))
    link = f'<p><a href="{escape(back)}">Begin anew</a></p>'
    return list(_LINES), _page("No login", f"<p>{words}</p>\n{link}")


def forbidden(logout: str) -> tuple[list[Pair], bytes]:
    """For who is known and may not. `logout`: the path to become somebody else, "" = none."""
    return list(_LINES), _page("Not allowed", f"<p>{_WORDS['claims']}</p>\n{_button(logout)}")


def ask_logout(logout: str) -> tuple[list[Pair], bytes]:
    """Another site has sent the browser here: only its user may end the session."""
    return list(_LINES), _page("Log out?", _button(logout))


def _button(logout: str) -> str:
    if not logout:
        return ""
    return f'<form method="post" action="{escape(logout)}"><button>Log out</button></form>'


def _page(title: str, body: str) -> bytes:
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
    return f"{head}<h1>{title}</h1>\n{body}\n</html>\n".encode()
