"""What TLS needs: keys that go together, and files that hold what they should, which are read here.

The files are read once, judged, and handed on as bytes (`material.py`): what was checked is what
is used. Paths are relative to the folder of the configuration, as those of ${file:…} are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from proxy.config.discover import may_be
from proxy.config.given import NOTHING, Givens
from proxy.config.locate import Path
from proxy.config.material import MESH, NONE, SELF_SIGNED, Certified, Material, pair
from proxy.config.model import Certificate, Config, ListenerTls, Upstream, UpstreamTls
from proxy.config.report import Report
from proxy.config.spiffe import Pattern

T = TypeVar("T")

SOURCE = "source:"  # before the name of what a source has


def check_tls(
    config: Config, report: Report, known: Material = NONE, given: Givens = NOTHING
) -> Material:
    """Report what cannot work, and return what the files hold. `known`: what is in force, of which
    a certificate that no file has is kept. `given`: what sources say, who have "source:NAME"."""
    knows_mesh = config.mesh is not None and config.mesh.identity is not None
    reader = _Reader(report, knows_mesh, given)
    for i, listener in enumerate(config.listen):
        if not report.is_broken("listen", i) and listener.tls is not None:
            _listener(listener.tls, ("listen", i, "tls"), reader)
    for name, upstream in config.upstream.items():
        path: Path = ("upstream", name, "tls")
        if not report.is_broken(*path) and not report.has_failed("upstream", name):
            _upstream(upstream, path, reader)
    if any(listener and listener.tls and listener.tls.self_signed for listener in config.listen):
        reader.certificates[pair(*SELF_SIGNED)] = _self_signed(config, known)
    made = Material(reader.certificates, reader.authorities)
    return _with_mesh(made, known) if reader.knows_mesh else made


def _with_mesh(made: Material, known: Material) -> Material:
    """With who this sidecar is, as far as that is known; the hub keeps it up to date."""
    if (own := known.mesh) is not None:
        made.certificates[pair(MESH, MESH)] = own
    return msgspec.structs.replace(made, trust=known.trust)


def _listener(tls: ListenerTls, path: Path, reader: _Reader) -> None:
    report = reader.report
    for one, where in _shown(tls, path):
        if bool(one.cert) != bool(one.key):
            report.error(where, "`cert` and `key` come together", "give both")
        elif one.cert:
            reader.certificate(one.cert, one.key, where)
    given = [key for key in ("cert", "key", "certificates") if getattr(tls, key)]
    if tls.self_signed and given:
        message = f"there is a certificate already, by `{given[0]}`"
        report.error((*path, "self_signed"), message, "leave out one of the two")
    elif not tls.self_signed and not given:
        remedy = "give `cert` and `key`, or `self_signed = true` for development"
        report.error(path, "a listener with TLS needs a certificate", remedy)
    asks = tls.client in ("request", "require")
    if tls.client_ca:
        reader.authority(tls.client_ca, (*path, "client_ca"))
        if tls.client == "none":
            report.warn((*path, "client_ca"), "nobody is asked for a certificate", "leave it out")
    elif asks:
        remedy = 'write client_ca = "clients-ca.pem"'
        report.error((*path, "client"), "who may sign client certificates is not said", remedy)


def _self_signed(config: Config, known: Material) -> Certified:
    from proxy.config.self_signed import self_signed
    from proxy.config.tls_pem import now

    return self_signed(config, known.self_signed, now())


def _shown(tls: ListenerTls, path: Path) -> Iterator[tuple[Certificate | ListenerTls, Path]]:
    yield tls, path
    for i, one in enumerate(tls.certificates):
        yield one, (*path, "certificates", i)


def _upstream(upstream: Upstream, path: Path, reader: _Reader) -> None:
    tls, report = upstream.tls, reader.report
    if bool(tls.cert) != bool(tls.key):
        report.error(path, "`cert` and `key` come together", "give both or neither")
    elif tls.cert:
        reader.certificate(tls.cert, tls.key, path)
    if tls.ca:
        reader.authority(tls.ca, (*path, "ca"))
    if tls.identities and not tls.verify:
        message = "identities say nothing where certificates are not verified"
        report.error((*path, "identities"), message, "leave out `verify = false`")
    for i, identity in enumerate(tls.identities):
        if "://" not in identity:
            remedy = 'write "spiffe://mesh/orders"'
            report.error((*path, "identities", i), f"{identity!r} is not a URI", remedy)
        elif tls.ca == MESH:
            _pattern(identity, (*path, "identities", i), report)
    secure = any(url.lower().startswith("https:") for url in upstream.everyone())
    secure = secure or may_be(upstream.discover, "https")
    known = bool(upstream.servers or upstream.discover)
    if not secure and tls != UpstreamTls() and known:
        report.warn(path, "none of these servers has TLS", "write https:// servers")
    elif not tls.verify:
        message = "certificates of servers are not verified: anybody may pose as them"
        report.warn((*path, "verify"), message, "give their `ca` instead")


def _pattern(text: str, path: Path, report: Report) -> None:
    try:
        Pattern(text)
    except ValueError as error:
        report.error(path, f"{text!r} is no SPIFFE ID: {error}", 'write "spiffe://mesh/orders"')


class _Reader:
    """Reads each file once, whoever names it. `knows_mesh`: there is a [mesh] identity."""

    def __init__(self, report: Report, knows_mesh: bool, given: Givens) -> None:
        self.report = report
        self.knows_mesh = knows_mesh
        self._given = given
        self.certificates: dict[str, Certified] = {}
        self.authorities: dict[str, bytes] = {}
        self._folder = os.path.dirname(report.file)

    def certificate(self, cert: str, key: str, path: Path) -> None:
        from proxy.config.tls_pem import certified, is_open

        said = pair(cert, key)
        if said in self.certificates or self._is_mesh(cert, key, (*path, "cert")):
            return
        data = self._try((*path, "cert"), lambda: self._read(cert, 0))
        private = self._try((*path, "key"), lambda: self._read(key, 1))
        if data is None or private is None:
            return
        if not key.startswith(SOURCE) and is_open(self._place(key)):
            self.report.warn(
                (*path, "key"), f"every user can read {key}", f"`chmod 600 {self._place(key)}`"
            )
        made = self._try((*path, "cert"), lambda: certified(data, private, (cert, key)))
        if made is not None and self._ages(made.cert, cert, (*path, "cert"), first=True):
            self.certificates[said] = made

    def authority(self, name: str, path: Path) -> None:
        if name in self.authorities or self._is_mesh(name, name, path):
            return
        data = self._try(path, lambda: self._read(name, None))
        if data is not None and self._ages(data, name, path, first=False):
            self.authorities[name] = data

    def _ages(self, data: bytes, name: str, path: Path, *, first: bool) -> bool:
        """Whether they count today: the first one, or at least one of them."""
        from proxy.config.tls_pem import Unusable, age, certificates, now

        found = self._try(path, lambda: certificates(data, name))
        if found is None:
            return False
        today, over = now(), []
        for certificate in found[:1] if first else found:
            try:
                if warning := age(certificate, name, today):
                    self.report.warn(path, warning)
            except Unusable as error:
                over.append(error)
        if over and (first or len(over) == len(found)):
            self.report.error(path, str(over[0]), over[0].remedy)
            return False
        for old in over:
            self.report.warn(path, str(old), "leave it out")
        return True

    def _is_mesh(self, cert: str, key: str, path: Path) -> bool:
        """Whether that is no file, but what [mesh] identity gives."""
        if MESH not in (cert, key):
            return False
        if cert != key:
            message = f'"{MESH}" stands for a certificate and its key together'
            self.report.error(path, message, f'write cert = "{MESH}", key = "{MESH}"')
        elif not self.knows_mesh:
            message = f'"{MESH}" stands for the identity of a mesh, and there is none'
            self.report.error(path, message, "write [mesh] identity")
        return True

    def _place(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _read(self, name: str, part: int | None) -> bytes:
        """A file, or what a source has: of a certificate and its key this `part`."""
        from proxy.config.tls_pem import read

        if not name.startswith(SOURCE):
            return read(self._place(name))
        return _said(name.removeprefix(SOURCE), part, self._given)

    def _try(self, path: Path, make: Callable[[], T]) -> T | None:
        from proxy.config.tls_pem import Unusable

        try:
            return make()
        except Unusable as error:
            self.report.error(path, str(error), error.remedy)
            return None


def _said(name: str, part: int | None, given: Givens) -> bytes:
    from proxy.config.tls_pem import Unusable

    for tables in given.values():
        if part is None and (authority := tables.authorities.get(name)) is not None:
            return authority
        if part is not None and (pair := tables.certificates.get(name)) is not None:
            return pair[part]
    what = "authorities" if part is None else "certificate"
    raise Unusable(f"no source has {what} {name!r}", "")
