"""Certificates of a running gateway: reloaded, resumed on every worker, and told about."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from proxy.config import local_ca
from proxy.server import tls_openssl
from tests import processes
from tests.hub.gateway import DEADLINE, Gateway, gateway, until

SECURE = """
drain_timeout = "3s"
[[listen]]
address = "127.0.0.1:0"
tls = {{ cert = "edge.pem", key = "edge.key"{more} }}
[admin]
listen = "127.0.0.1:0"
[[route]]
path = "/*"
respond = {{ status = 200, body = "pong" }}
"""


def certify(folder: Path, *names: str) -> Path:
    """edge.pem and edge.key for these names; the authority's path."""
    made = local_ca.make(str(folder), names or ("gateway.test",))
    shutil.copy(made.key, folder / "edge.key.new")
    shutil.copy(made.cert, folder / "edge.pem.new")
    (folder / "edge.key.new").replace(folder / "edge.key")
    (folder / "edge.pem.new").replace(folder / "edge.pem")
    return made.ca


def context(folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(folder / local_ca.CA)
    made.check_hostname = False
    return made


def shown(hub: Gateway, folder: Path) -> list[str]:
    """The names of the certificate that a new connection gets."""
    with connected(hub, context(folder)) as conn:
        said = conn.getpeercert() or {}
        return [str(value) for kind, value in said["subjectAltName"] if kind == "DNS"]


def connected(
    hub: Gateway, made: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", hub.port), DEADLINE)
    return made.wrap_socket(sock, server_hostname="gateway.test", session=session)


def ask(conn: ssl.SSLSocket) -> bytes:
    conn.sendall(b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
    got = b""
    while not got.endswith(b"pong"):
        data = conn.recv(65536)
        assert data
        got += data
    return got


def test_files_that_change_are_read_and_nobody_is_cut_off(tmp_path: Path) -> None:
    certify(tmp_path, "one.test")
    with gateway(tmp_path, SECURE.format(more="")) as hub:
        assert shown(hub, tmp_path) == ["one.test"]
        stop, cut = threading.Event(), []

        def load() -> None:
            try:
                with connected(hub, context(tmp_path)) as old:
                    while not stop.is_set():
                        ask(old)
                        with connected(hub, context(tmp_path)) as new:
                            ask(new)
            except (OSError, AssertionError) as error:
                cut.append(error)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        certify(tmp_path, "two.test")
        until(lambda: shown(hub, tmp_path) == ["two.test"])
        hub.wait_for_line("certificates reloaded")
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert cut == []
        assert hub.stats()["reloads"] == {"succeeded": 1, "failed": 0}
        (key,) = (k for k in hub.values() if k[0] == "spangate_tls_certificate_expiry_seconds")
        assert dict(key[1]) == {"spangate_tls_file": "edge.pem", "spangate_tls_name": "two.test"}


def test_files_that_are_no_use_change_nothing_until_they_are(tmp_path: Path) -> None:
    certify(tmp_path, "one.test")
    with gateway(tmp_path, SECURE.format(more="")) as hub:
        local_ca.make(str(tmp_path), ["other.test"])
        shutil.copy(tmp_path / "other.test.key", tmp_path / "edge.key")
        hub.wait_for_line(r"listen\[0\].tls.cert: the key edge.key does not belong to edge.pem")
        hub.wait_for_line("the certificates in force stay")
        assert shown(hub, tmp_path) == ["one.test"]
        hub.signal(signal.SIGHUP)
        until(lambda: hub.stats()["reloads"]["failed"] == 2)
        shutil.copy(tmp_path / "other.test.pem", tmp_path / "edge.pem")
        until(lambda: shown(hub, tmp_path) == ["other.test"])


def test_hup_reads_them_too(tmp_path: Path) -> None:
    certify(tmp_path, "one.test")
    with gateway(tmp_path, SECURE.format(more="")) as hub:
        certify(tmp_path, "two.test")
        hub.signal(signal.SIGHUP)
        until(lambda: shown(hub, tmp_path) == ["two.test"])


@pytest.mark.skipif(tls_openssl._library() is None, reason="OpenSSL cannot be reached here")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_on_every_worker(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    certify(tmp_path)
    with gateway(tmp_path, SECURE.format(more=""), workers=2) as hub:
        made = context(tmp_path)
        made.maximum_version = newest
        resumed, session = 0, None
        for _ in range(30):
            with connected(hub, made, session) as conn:
                ask(conn)
                resumed += conn.session_reused or 0
                session = conn.session
        assert resumed == 29
        served = [w["requests"] for w in hub.stats()["workers"]]
        assert all(served)


def test_openssl_resumes(tmp_path: Path) -> None:
    certify(tmp_path)
    with gateway(tmp_path, SECURE.format(more=""), workers=2) as hub:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{hub.port}", "-reconnect"]
        command += ["-tls1_2", "-servername", "gateway.test", "-CAfile", str(tmp_path / "ca.pem")]
        done = subprocess.run(
            command, input="", capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.stdout.count("Reused, TLSv1.2") == 5
        assert "Verify return code: 0 (ok)" in done.stdout


def test_no_client_that_shows_a_certificate_resumes(tmp_path: Path) -> None:
    certify(tmp_path)
    me = local_ca.make(str(tmp_path), ["me.test"])
    with gateway(tmp_path, SECURE.format(more=', client_ca = "ca.pem"')) as hub:
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            made = context(tmp_path)
            made.maximum_version = newest
            made.load_cert_chain(me.cert, me.key)
            session = None
            for _ in range(4):
                with connected(hub, made, session) as conn:
                    ask(conn)
                    assert not conn.session_reused
                    session = conn.session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(tmp_path: Path, version: str) -> None:
    ca = certify(tmp_path)
    me = local_ca.make(str(tmp_path), ["me.test"])
    with gateway(tmp_path, SECURE.format(more=', client_ca = "ca.pem"')) as hub:

        def curl(*more: str) -> subprocess.CompletedProcess[str]:
            url = f"https://gateway.test:{hub.port}/"
            command = ["curl", "-sS", "--resolve", f"gateway.test:{hub.port}:127.0.0.1", url]
            command += ["--cacert", str(ca), "--tls-max", version, *more]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=DEADLINE, check=False
            )

        done = curl("--cert", str(me.cert), "--key", str(me.key))
        assert done.stdout == "pong"
        assert curl().returncode in (35, 55, 56)  # the second with TLS 1.3, where it comes later
        assert curl("--tls-max", "1.1").returncode == 35
        failures = {
            dict(labels)["spangate_reason"]
            for name, labels in hub.values()
            if name == "spangate_downstream_tls_failures_total"
        }
        assert "no_certificate" in failures


def test_keys_are_logged_only_when_asked_for(tmp_path: Path) -> None:
    certify(tmp_path)
    (tmp_path / "routes.toml").write_text(SECURE.format(more=""))
    command = [sys.executable, "-m", "proxy", "run", str(tmp_path / "routes.toml")]
    log = tmp_path / "keys.log"
    process = subprocess.Popen(
        [*command, "--workers", "1", "--tls-keylog", str(log)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready" in line:
                break
        port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
        sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        with context(tmp_path).wrap_socket(sock, server_hostname="gateway.test") as conn:
            ask(conn)
        assert "not secret" in "".join(lines)
        assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()
    finally:
        process.terminate()
        process.wait(DEADLINE)
        assert process.stderr is not None
        process.stderr.close()


def self_signed(more: str = "") -> str:
    return SECURE.format(more=more).replace(
        'cert = "edge.pem", key = "edge.key"', "self_signed = true"
    )


def fingerprint(hub: Gateway) -> str:
    """Of what a new connection is shown."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with connected(hub, unverified) as conn:
        digest = hashlib.sha256(conn.getpeercert(binary_form=True) or b"").hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, 64, 2))


def test_a_certificate_made_at_the_start_is_that_of_all_workers(tmp_path: Path) -> None:
    with gateway(tmp_path, self_signed(), workers=2) as hub:
        said = hub.wait_for_line(r"self-signed certificate for localhost, .*; SHA-256 (\S+)")[1]
        assert {fingerprint(hub) for _ in range(16)} == {said}

        hub.signal(signal.SIGHUP)
        until(lambda: hub.stats()["reloads"]["succeeded"] == 1)
        pids = [w["pid"] for w in hub.stats()["workers"]]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not {w["pid"] for w in hub.stats()["workers"]} & set(pids))
        until(lambda: {w["state"] for w in hub.stats()["workers"]} == {"ready"})
        assert {fingerprint(hub) for _ in range(16)} == {said}
        assert len([line for line in hub.lines if "self-signed" in line]) == 1

        hub.rewrite(self_signed().replace("[[route]]", '[[route]]\nhost = "new.example"', 1))
        until(lambda: hub.stats()["reloads"]["succeeded"] == 2)
        line = r"self-signed certificate for .*new\.example; SHA-256 (\S+)"
        assert fingerprint(hub) == hub.wait_for_line(line)[1] != said
    assert [path.name for path in tmp_path.iterdir()] == ["routes.toml"]


def test_who_has_a_certificate_made_at_the_start_can_verify_it(tmp_path: Path) -> None:
    me = local_ca.make(str(tmp_path / "certs"), ["me.test"])
    text = self_signed(', client_ca = "certs/ca.pem", client = "request"')
    with gateway(tmp_path, text) as hub:
        pem = ssl.get_server_certificate(("127.0.0.1", hub.port), timeout=DEADLINE)
        (tmp_path / "edge.pem").write_text(pem)
        url = f"https://localhost:{hub.port}/"
        command = ["curl", "-sS", "--cacert", "edge.pem", url]
        command += ["--cert", str(me.cert), "--key", str(me.key)]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert (done.stdout, done.stderr) == ("pong", "")
        expiry = {
            dict(labels)["spangate_tls_file"]: (dict(labels)["spangate_tls_name"], value)
            for (name, labels), value in hub.values().items()
            if name == "spangate_tls_certificate_expiry_seconds"
        }
        end = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
        assert expiry == {"self-signed": ("localhost", end.timestamp())}


def test_the_key_of_a_certificate_made_at_the_start_lies_nowhere(tmp_path: Path) -> None:
    """No path of this machine leads to it: every file that the gateway has open is looked into."""
    with gateway(tmp_path, self_signed(), workers=1) as hub:
        fingerprint(hub)
        pids = [hub.process.pid, *processes.descendants(hub.process.pid)]
        found = [
            path for pid in pids for path in opened(pid) if b"PRIVATE KEY" in path.read_bytes()
        ]
        assert found == []


def opened(pid: int) -> list[Path]:
    links = [Path(link).resolve() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [path for path in links if path.is_file()]
