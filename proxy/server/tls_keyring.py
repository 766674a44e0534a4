"""Contexts of TLS, made once from a configuration and what its files hold.

A context that would be made of the same things is kept across reloads, so that sessions and warm
connections live on; one of anything else is new, and whoever talks by the old one goes on with it.
Nothing is ever loaded into a context that is in use: a load that fails leaves it broken.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from proxy.config.discover import may_be, server_name
from proxy.config.material import MESH, SELF_SIGNED, Certified, Material
from proxy.config.mesh_names import BYTES_SNI, SNI
from proxy.config.model import Config, ListenerTls, Upstream, UpstreamTls
from proxy.server import tls_identity, tls_openssl, tls_tickets
from proxy.server.tls_load import NOBODY, load

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

    __slots__ = ("_default", "_exact", "_wild", "asks", "is_many", "is_mesh", "offered")

    def __init__(
        self, default: ServerContext, asks: bool, offered: Sequence[str] = OFFERED
    ) -> None:
        self._default = default
        self._exact: dict[str, ServerContext] = {}
        self._wild: dict[str, ServerContext] = {}  # by what comes after "*"
        self.asks = asks  # clients for certificates
        self.offered = offered  # by ALPN
        self.is_many = False  # several certificates, so that it matters which one was chosen
        self.is_mesh = False  # its clients are held to what the mesh trusts

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

    __slots__ = ("_make", "_old", "context", "identifies", "is_mesh", "server_name")

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
        self.is_mesh = settings.ca == MESH  # a session that is resumed has no chain to be judged
        self.identifies = self.is_mesh or bool(settings.identities)

    @property
    def old(self) -> ClientContext:
        """The same for HTTP/1.1 alone."""
        if self._old is None:
            self._old = old = ClientContext(self._make, HTTP_1_1, UpstreamTls())
            old.server_name = self.server_name
            old.is_mesh, old.identifies = self.is_mesh, self.identifies
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
            secure = any(url.startswith("https:") for url in upstream.everyone())
            if secure or may_be(upstream.discover, "https") or upstream.tls.ca == MESH:
                into.upstreams[name] = self._client(named(upstream), material, made)
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
        all_certified = [_certified(material, *pair) for pair in pairs]
        if not all_certified:
            raise ValueError("a listener with TLS has no certificate")
        asks = settings.client or ("require" if settings.client_ca else "none")
        authority, trusted = _authority(material, settings.client_ca)
        shown: Shown | None = None
        for certified in all_certified:
            key = ("server", certified.mark, asks, authority, trusted, settings.min, tuple(offered))
            context = made.get(key) or self._made.get(key)
            if context is None:
                context = self._server(certified, settings.min, _ASKING[asks], authority)
                if trusted and asks != "none":
                    whom = tls_identity.of_clients(material)
                    tls_identity.verify(context.context, whom, asks == "require")
                if offered:
                    context.context.set_alpn_protocols(offered)
            made[key] = context
            if shown is None:
                shown = Shown(context, asks != "none", offered)
                shown.is_mesh = bool(trusted) and asks != "none"
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
        load(context, certified)
        tls_openssl.economise(context)
        tls_openssl.forget_sessions(context)
        self._log_keys(context)
        context.num_tickets = 1  # as Go does: who resumes gets the next one
        if asks != ssl.CERT_NONE:
            _trust(context, authority)
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
        certified = _certified(material, settings.cert, settings.key) if settings.cert else None
        authority, trusted = _authority(material, settings.ca)
        mark = certified and certified.mark
        key = ("client", repr(settings), tuple(offered), mark, authority, trusted)
        found = made.get(key) or self._made.get(key)
        if found is None:

            def make(protocols: Sequence[str]) -> ssl.SSLContext:
                context = _client_context(settings, certified, authority)
                if trusted:
                    whom = tls_identity.of_servers(material, settings.identities)
                    tls_identity.verify(context, whom)
                context.set_alpn_protocols(protocols)
                self._log_keys(context)
                return context

            found = ClientContext(make, offered, settings)
        made[key] = found
        return found

    def _log_keys(self, context: ssl.SSLContext) -> None:
        if self._keylog:
            context.keylog_filename = self._keylog


def named(upstream: Upstream) -> Upstream:
    """With the name that discovered servers are verified by: their URLs have addresses."""
    name = server_name(upstream.discover)
    if not name or upstream.tls.server_name or upstream.tls.identities:
        return upstream
    tls = msgspec.structs.replace(upstream.tls, server_name=name)
    return msgspec.structs.replace(upstream, tls=tls)


def offered_to(upstream: Upstream) -> list[str]:
    """By ALPN, the best first. A connection that begins with a PROXY header belongs to one client,
    and HTTP/2 is for sharing. Where bytes are passed to a sidecar there is nothing to agree on."""
    if upstream.tls.server_name.startswith(BYTES_SNI):
        return []
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
        tls_identity.require(context, settings.identities)
    # Who must have one of these identities need not have the server's name too. What sidecars ask
    # each other for is no host's name: no certificate of theirs has it.
    nameless = not settings.server_name or settings.server_name.startswith((SNI, BYTES_SNI))
    context.check_hostname = settings.verify and not (
        settings.ca == MESH or (settings.identities and nameless)
    )
    context.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    if certified is not None:
        load(context, certified)
    if authority or settings.ca == MESH:
        _trust(context, authority)
    elif settings.verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _certified(material: Material, cert: str, key: str) -> Certified:
    """What stands there; while a mesh has not said who this is, nothing can be shown to anybody,
    and handshakes fail."""
    return NOBODY if cert == MESH and material.mesh is None else material.certified(cert, key)


def _authority(material: Material, path: str) -> tuple[bytes, tuple[object, ...]]:
    """Authorities; in a mesh, and there alone, something that is another for each other trust."""
    if path != MESH:
        return (material.authority(path) if path else b""), ()
    own = material.mesh.uris if material.mesh is not None else ()
    roots = sorted(material.trust.items())
    return b"\n".join(pem for _, pem in roots), (MESH, *own, *roots)


def _trust(context: ssl.SSLContext, authority: bytes) -> None:
    if authority:
        context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))


def _common(context: ssl.SSLContext, oldest: str) -> None:
    context.minimum_version = _OLDEST[oldest]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
