"""Keys over TLS: of whom the system's authorities vouch for, and of nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.hub.gateway import gateway, until
from tests.hub.issuer import issuer
from tests.hub.test_jwks import ask, config, fetches
from tests.server.tls_kit import leaf, write_ca


def showing(name: str, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = leaf(name, ca=ca)
    context.load_cert_chain(made.cert, made.key)
    return context


def test_keys_of_an_issuer_that_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", write_ca(tmp_path))
    with (
        issuer(tls=showing("127.0.0.1", "one")) as idp,
        gateway(tmp_path, config(idp.url), workers=1) as hub,
    ):
        until(lambda: fetches(hub, "success") == 1)
        assert (ask(hub), ask(hub, number=1)) == (200, 401)


UNTRUSTED = [
    ("127.0.0.1", "two", "certificate verify failed"),  # by another authority
    ("other.test", "one", "127.0.0.1"),  # for another name
]


@pytest.mark.parametrize(("name", "ca", "why"), UNTRUSTED)
def test_keys_of_whoever_else_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ca: str, why: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", write_ca(tmp_path))
    with (
        issuer(tls=showing(name, ca)) as idp,
        gateway(tmp_path, config(idp.url), workers=1) as hub,
    ):
        until(lambda: fetches(hub, "failure") >= 1)
        hub.wait_for_line(rf"keys of .*{why}.*; tokens cannot be verified")
        assert ask(hub) == 503
        assert not idp.asked
