"""Contexts of TLS, made once from a configuration and what its files hold.

A context that would be made of the same things is kept across reloads, so that sessions and warm
connections live on; one of anything else is new, and whoever talks by the old one goes on with it.
Nothing is ever loaded into a context that is in use: a load that fails leaves it broken.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from proxy.config.material import SELF_SIGNED, Certified, Material
from proxy.config.model import Config, ListenerTls, Upstream, UpstreamTls
from proxy.http.client_cert import names_of
from proxy.server import tls_openssl, tls_tickets

HTTP_1_1 = ["http/1.1"]
OFFERED = ["h2", "http/1.1"]  # by ALPN to clients, the best first (RFC 7301)

# Forward secrecy and AEAD alone, as RFC 9325 §4.2 wants; TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"

_OLDEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKING = {
    "none": ssl.CERT_NONE,
    "request": ssl.CERT_OPTIONAL,
    "require": ssl.CERT_REQUIRED,
}


class ServerContext:
    """One certificate as a listener shows it."""

    __slots__ = ("context", "current", "earlier", "uri")

    def __init__(self, context: ssl.SSLContext, uri: str) -> None:
        self.context = context
        self.uri = uri  # who the gateway is by that certificate, "" = not said
        self.current = b""  # keys of tickets
        self.earlier = b""  # those before them, b"" = none

    def seal(self, current: bytes, earlier: bytes) -> None:
        """Seal tickets with `current` from now on, if there are any, and take those that are
        sealed with `earlier` too."""
        if self.context.num_tickets and tls_openssl.set_ticket_keys(self.context, current):
            self.current, self.earlier = current, earlier

    def knows(self, ticket: bytes) -> bool:
        """Whether a ticket that begins so is sealed with the keys before the present ones."""
        return bool(self.earlier) and self.earlier.startswith(ticket)

    def go_back(self) -> None:
        """Open tickets with the earlier keys, until `go_on`."""
        tls_openssl.set_ticket_keys(self.context, self.earlier)

    def go_on(self) -> None:
        tls_openssl.set_ticket_keys(self.context, self.current)


class Shown:
    """All certificates of one listener. Names are those of the certificates; a name that has none
    gets the first one."""

    __slots__ = ("_default", "_exact", "_wild", "asks", "is_many", "offered")

    def __init__(
        self, default: ServerContext, asks: bool, offered: Sequence[str] = OFFERED
    ) -> None:
        self._default = default
        self._exact: dict[str, ServerContext] = {}
        self._wild: dict[str, ServerContext] = {}  # by what comes after "*"
        self.asks = asks  # clients for certificates
        self.offered = offered  # by ALPN
        self.is_many = False  # several certificates, so that it matters which one was chosen

    def add(self, names: list[str], context: ServerContext) -> None:
        """The first certificate of a name is shown."""
        self.is_many = self.is_many or context is not self._default
        for name in names:
            if name.startswith("*."):
                self._wild.setdefault(name[1:], context)
            else:
                self._exact.setdefault(name, context)

    def choose(self, name: str | None) -> ServerContext:
        """For the name that a client asks for, in lower case; None = it does not say."""
        if not name or not self.is_many:
            return self._default
        found = self._exact.get(name)
        if found is None:
            found = self._wild.get(name[name.find(".") :]) if "." in name else None
        return found or self._default


class ClientContext:
    """How connections to one upstream's servers are made. `make(protocols)` makes the context that
    offers them by ALPN."""

    __slots__ = ("_make", "_old", "context", "server_name")

    def __init__(
        self,
        make: Callable[[Sequence[str]], ssl.SSLContext],
        offered: Sequence[str],
        settings: UpstreamTls,
    ) -> None:
        self._make = make
        self._old: ClientContext | None = None
        self.context = make(offered)
        self.server_name = settings.server_name  # "" = the host of the URL

    @property
    def old(self) -> ClientContext:
        """The same for HTTP/1.1 alone."""
        if self._old is None:
            self._old = ClientContext(self._make, HTTP_1_1, UpstreamTls())
            self._old.server_name = self.server_name
        return self._old


class Contexts:
    """Those of one configuration: by a listener's address, and by an upstream's name."""

    __slots__ = ("listeners", "upstreams")

    def __init__(self) -> None:
        self.listeners: dict[str, Shown] = {}
        self.upstreams: dict[str, ClientContext] = {}


class Keyring:
    """Makes contexts and remembers those of the last configuration; one of each worker."""

    __slots__ = ("_earlier", "_keylog", "_made", "_tickets")

    def __init__(self) -> None:
        self._keylog = ""  # path
        self._made: dict[Any, Any] = {}
        self._tickets = os.urandom(tls_tickets.SIZE)  # until the hub says which all workers have
        self._earlier = b""

    def make(self, config: Config, material: Material, into: Contexts) -> Iterator[None]:
        """Fill `into`, in steps; ValueError for what cannot be used."""
        made: dict[Any, Any] = {}
        for listener in config.listen:
            if listener.tls is not None:
                # What comes behind TLS is the client's own affair where bytes are passed on.
                offered = OFFERED if listener.protocol == "http" else []
                into.listeners[listener.address] = self._shown(
                    listener.tls, offered, material, made
                )
                yield
        for name, upstream in config.upstream.items():
            if any(url.startswith("https:") for url in upstream.everyone()):
                into.upstreams[name] = self._client(upstream, material, made)
                yield
        self._made = made

    def share(self, payload: bytes) -> None:
        """Go by a SECRETS frame from now on."""
        self._tickets, self._earlier, self._keylog = tls_tickets.read_secrets(payload)
        for made in self._made.values():
            if isinstance(made, ServerContext):
                made.seal(self._tickets, self._earlier)

    def _shown(
        self,
        settings: ListenerTls,
        offered: list[str],
        material: Material,
        made: dict[Any, Any],
    ) -> Shown:
        pairs = [(settings.cert, settings.key)] if settings.cert else []
        pairs += [SELF_SIGNED] if settings.self_signed else []
        pairs += [(one.cert, one.key) for one in settings.certificates]
        all_certified = [material.certified(*pair) for pair in pairs]
        if not all_certified:
            raise ValueError("a listener with TLS has no certificate")
        asks = settings.client or ("require" if settings.client_ca else "none")
        authority = material.authority(settings.client_ca) if settings.client_ca else b""
        shown: Shown | None = None
        for certified in all_certified:
            key = ("server", certified.mark, asks, authority, settings.min, tuple(offered))
            context = made.get(key) or self._made.get(key)
            if context is None:
                context = self._server(certified, settings.min, _ASKING[asks], authority)
                if offered:
                    context.context.set_alpn_protocols(offered)
            made[key] = context
            if shown is None:
                shown = Shown(context, asks != "none", offered)
            shown.add(certified.names, context)
        assert shown is not None
        return shown

    def _server(
        self, certified: Certified, oldest: str, asks: ssl.VerifyMode, authority: bytes
    ) -> ServerContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _common(context, oldest)
        context.set_ciphers(CIPHERS)
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # the client knows what it is fast at
        _load(context, certified)
        tls_openssl.economise(context)
        tls_openssl.forget_sessions(context)
        self._log_keys(context)
        context.num_tickets = 1  # as Go does: who resumes gets the next one
        if asks != ssl.CERT_NONE:
            context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
            context.verify_mode = asks
            # A session that is resumed skips what a certificate is asked for.
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
        made = ServerContext(context, certified.uris[0] if certified.uris else "")
        made.seal(self._tickets, self._earlier)
        return made

    def _client(self, upstream: Upstream, material: Material, made: dict[Any, Any]) -> Any:
        settings = upstream.tls
        offered = offered_to(upstream)
        certified = material.certified(settings.cert, settings.key) if settings.cert else None
        authority = material.authority(settings.ca) if settings.ca else b""
        key = ("client", repr(settings), tuple(offered), certified and certified.mark, authority)
        found = made.get(key) or self._made.get(key)
        if found is None:

            def make(protocols: Sequence[str]) -> ssl.SSLContext:
                context = _client_context(settings, certified, authority)
                context.set_alpn_protocols(protocols)
                self._log_keys(context)
                return context

            found = ClientContext(make, offered, settings)
        made[key] = found
        return found

    def _log_keys(self, context: ssl.SSLContext) -> None:
        if self._keylog:
            context.keylog_filename = self._keylog


def offered_to(upstream: Upstream) -> list[str]:
    """By ALPN, the best first. A connection that begins with a PROXY header belongs to one client,
    and HTTP/2 is for sharing."""
    if upstream.protocol == "h2":
        return ["h2"]
    shared = upstream.protocol == "auto" and upstream.send_proxy == "off"
    return ["h2", *HTTP_1_1] if shared else HTTP_1_1


def _client_context(
    settings: UpstreamTls, certified: Certified | None, authority: bytes
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _common(context, settings.min)
    tls_openssl.release_buffers(context)
    if settings.identities:
        context.sslobject_class = _identifying(frozenset(settings.identities))
    # Who must have one of these identities need not have the server's name too.
    context.check_hostname = settings.verify and not (
        settings.identities and not settings.server_name
    )
    context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    if certified is not None:
        _load(context, certified)
    if authority:
        context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
    elif settings.verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


class WrongIdentity(ssl.SSLError):
    """The certificate is good, and it is somebody else's."""


def _identifying(wanted: frozenset[str]) -> type[ssl.SSLObject]:
    """Connections that end their handshake only with one of these identities."""

    class Identifying(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if wanted.isdisjoint(names_of(self.getpeercert() or {}, "URI")):
                raise WrongIdentity(1, "wrong identity")

    return Identifying


def _common(context: ssl.SSLContext, oldest: str) -> None:
    context.minimum_version = _OLDEST[oldest]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _load(context: ssl.SSLContext, certified: Certified) -> None:
    with _file(certified.cert) as cert, _file(certified.key) as key:
        context.load_cert_chain(cert, key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


@contextlib.contextmanager
def _file(data: bytes) -> Iterator[str]:
    """A path at which OpenSSL finds `data`, which need not be on any disk."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        fd = os.memfd_create("spangate-tls", os.MFD_CLOEXEC)
        try:
            os.write(fd, data)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    import tempfile  # half a megabyte that Linux needs not

    with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
        file.write(data)
        file.flush()
        yield file.name
