"""What a browser keeps of a login by OpenID Connect: its session, and logins under way.

Both are sealed (`sealed.py`) and end at a time that is inside the seal. A session has what is told
of the user, and none of the issuer's tokens. A flow is one login under way, of one tab: what its
end is compared with. It has a cookie of its own, so that tabs do not end each other's logins.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any

import msgspec

from proxy.access.sealed import Sealer
from proxy.config.access_model import Oidc

FLOW = 600  # seconds that a login may take
FLOWS = 5  # logins under way of one browser; the oldest is given up
LARGEST = 4000  # bytes of a cookie's name and value; browsers keep 4096 (RFC 6265 §6.1)
PATH = 768  # characters of a path and query that is gone back to; longer ones become "/"

_ID = 17  # characters of a state that name its cookie: 8 of the time, ".", 8 of chance

# What an ID token says of itself and not of the user.
_OF_THE_TOKEN = frozenset(
    {"iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash", "c_hash", "s_hash", "jti", "typ"}
)


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Who has logged in."""

    until: int  # Unix seconds
    subject: str
    scopes: list[str]  # that the issuer has granted
    claims: dict[str, Any]


class Flow(msgspec.Struct, frozen=True, array_like=True):
    """A login under way."""

    until: int  # Unix seconds
    state: str
    nonce: str
    verifier: str  # of PKCE (RFC 7636)
    back: str  # the path and query to go on to
    redirect_uri: str


class Seals:
    """Of one check: a cookie of another check, issuer or client cannot be opened."""

    __slots__ = ("_flow", "_session")

    def __init__(self, name: str, said: Oidc) -> None:
        bound = "\0".join((name, said.issuer, said.client_id)).encode()
        self._session = Sealer(said.secret, b"oidc session\0" + bound)
        self._flow = Sealer(said.secret, b"oidc flow\0" + bound)

    def session(self, text: bytes, now: float) -> Session | str:
        """Or why it is none: "malformed", "expired"."""
        data = self._session.open(text) if len(text) <= LARGEST else None
        if data is None:
            return "malformed"
        session = _sessions.decode(data)
        return session if now < session.until else "expired"

    def flow(self, text: bytes, state: str, now: float) -> Flow | None:
        """The login that the issuer's answer with this state is for."""
        data = self._flow.open(text) if len(text) <= LARGEST else None
        if data is None:
            return None
        flow = _flows.decode(data)
        same = compare_digest(flow.state.encode(), state.encode())
        return flow if same and now < flow.until else None

    def seal_session(self, session: Session, nonce: bytes) -> bytes:
        return self._session.seal(msgspec.msgpack.encode(session), nonce)

    def seal_flow(self, flow: Flow, nonce: bytes) -> bytes:
        return self._flow.seal(msgspec.msgpack.encode(flow), nonce)


class Names:
    """Of the cookies of one check. `is_safe`: they travel over TLS alone.

    Browsers take a name with the prefix `__Host-` only from the host itself, over TLS (RFC 6265bis
    §4.1.3.2). On a developer's machine, over plain HTTP on loopback, it is left out.
    """

    __slots__ = ("_attributes", "flows", "hidden", "mark", "session")

    def __init__(self, name: str, is_safe: bool) -> None:
        if not is_safe:
            name = name.removeprefix("__Host-").removeprefix("__Secure-")
        self.session = name
        self.mark = name.encode()
        self.hidden = frozenset({name})  # from upstreams
        self.flows = f"{name}."  # begins the names of flows
        self._attributes = f"; Path=/; HttpOnly; SameSite=Lax{'; Secure' if is_safe else ''}"

    def flow(self, state: str) -> str:
        """The name of the cookie of the login with that state."""
        return self.flows + state[:_ID]

    def line(self, name: str, value: bytes, seconds: int) -> bytes:
        """A Set-Cookie; no value = the browser is to forget it."""
        head = name.encode() + b"=" + value
        return head + f"; Max-Age={seconds if value else 0}{self._attributes}".encode()

    def alone(self, line: bytes) -> bytes | None:
        """The session of a Cookie that has no other of these cookies, which is the usual one; None
        = there is none or more, for which there is a Jar. It is 2 µs less."""
        before, found, after = line.partition(self.mark)
        if not found or self.mark in after or after[:1] != b"=":
            return None
        # A blank alone may be in the value of another cookie, which any subdomain can set.
        begins = before.rstrip(b" ")[-1:] in (b"", b";")
        return after[1:].partition(b";")[0] if begins else None

    def fits(self, value: bytes) -> bool:
        return len(self.session) + len(value) <= LARGEST


class Jar:
    """The cookies of one check in one request."""

    __slots__ = ("flows", "session")

    def __init__(self, names: Names, line: bytes | None) -> None:
        """`line`: the value of Cookie."""
        self.session: bytes | None = None  # b"" = there are two, of which none counts
        self.flows: dict[str, bytes] = {}
        mark = names.mark
        if line is None or mark not in line:
            return
        for pair in line.split(b";"):
            said, _, value = pair.strip().partition(b"=")
            if said == mark:
                self.session = value if self.session is None else b""
            elif said.startswith(mark + b"."):
                self.flows[said.decode("latin-1")] = value

    def surplus(self) -> list[str]:
        """Names of flows that are to go before another is added; they sort by their time."""
        return sorted(self.flows)[: max(len(self.flows) - FLOWS + 1, 0)]


def state_of(now: float, chance: str) -> str:
    """A state. `chance`: 43 random characters."""
    return f"{int(now):08x}.{chance}"


def kept(claims: Mapping[str, Any], said: Oidc) -> list[dict[str, Any]]:
    """What may be kept of an ID token's claims: all that tell of the user; or, where these are too
    many for a cookie, those alone that the check itself names."""
    every = {name: value for name, value in claims.items() if name not in _OF_THE_TOKEN}
    paths = {*said.headers.values(), *said.attributes.values(), *said.claims}
    wanted = paths | {path.partition(".")[0] for path in paths}
    return [every, {name: value for name, value in every.items() if name in wanted}]


def local(target: str) -> str:
    """`target` if it is a path of this very host, else "/".

    Browsers take "//x" and "/\\x" for another host, and leave out tabs and line ends before they
    look (URL standard §4.4).
    """
    if len(target) > PATH or not target.startswith("/") or target[1:2] in ("/", "\\"):
        return "/"
    if "\\" in target or not all("!" <= c <= "~" for c in target):
        return "/"
    return target


_sessions = msgspec.msgpack.Decoder(Session)
_flows = msgspec.msgpack.Decoder(Flow)
