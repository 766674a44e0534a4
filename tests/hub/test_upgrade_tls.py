"""TLS across an upgrade: clients resume their sessions, and see the certificate that they know."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy.server import tls_openssl
from tests.hub.gateway import until
from tests.hub.test_tls import SECURE, ask, certify, connected, context, fingerprint, self_signed
from tests.hub.upgrades import Crowd, followed


@pytest.mark.skipif(tls_openssl._library() is None, reason="OpenSSL cannot be reached here")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_the_next_process(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    certify(tmp_path)
    with followed(tmp_path, SECURE.format(more="")) as hub:
        made = context(tmp_path)
        made.maximum_version = newest
        with connected(hub, made) as conn:
            ask(conn)
            session = conn.session
        for _ in range(2):
            hub.upgrade()
            until(lambda: hub.process.poll() is not None)
            with connected(hub, made, session) as conn:
                ask(conn)
                assert conn.session_reused
                session = conn.session


def test_a_certificate_made_at_the_start_stays(tmp_path: Path) -> None:
    with followed(tmp_path, self_signed()) as hub:
        said = fingerprint(hub)
        hub.upgrade()
        until(lambda: hub.process.poll() is not None)
        assert fingerprint(hub) == said


def test_clients_of_tls_do_not_notice(tmp_path: Path) -> None:
    certify(tmp_path)
    with followed(tmp_path, SECURE.format(more=""), workers=2) as hub:
        made = context(tmp_path)

        def anew() -> None:
            with connected(hub, made) as conn:
                ask(conn)

        with Crowd(lambda: anew, lambda: anew) as crowd:
            hub.upgrade()
            until(lambda: hub.process.poll() is not None or crowd.wrong)
            seen = crowd.answered
            until(lambda: crowd.answered > seen + 20 or crowd.wrong)
        assert crowd.wrong == []
