"""The certificate that is made at the start: for whom, for how long, and when it is another one."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from proxy.config import local_ca, self_signed
from proxy.config.load import loads
from proxy.config.loaded import Loaded
from proxy.config.material import NONE, SELF_SIGNED, Certified, Material, files, pair
from proxy.config.model import Config
from proxy.config.wire import Unpacker, pack

HERE = [*local_ca.NAMES, os.uname().nodename.lower()]
DAY = 86400.0


def load(*hosts: str, known: Material = NONE, listener: str = "self_signed = true") -> Loaded:
    text = f"""
[[listen]]
address = ":8443"
tls = {{ {listener} }}
[[route]]
host = {list(hosts)}
respond = 200
"""
    return loads(text, "routes.toml", {}, known)


def made(loaded: Loaded) -> Certified:
    found = loaded.material.self_signed
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hosts", "more"),
    [
        ((), []),
        (("shop.example", "*.shop.example"), ["shop.example", "*.shop.example"]),
        (("[2001:db8::1]", "localhost"), ["[2001:db8::1]"]),
        (tuple(f"h{i}.example" for i in range(500)), [f"h{i}.example" for i in range(100)]),
    ],
)
def test_names(hosts: tuple[str, ...], more: list[str]) -> None:
    certified = made(load(*hosts))
    assert certified.names == [*dict.fromkeys(HERE), *more]
    (cert,) = x509.load_pem_x509_certificates(certified.cert)
    said = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(said)) == len(certified.names)
    assert cert.subject == cert.issuer
    assert certified.expires == cert.not_valid_after_utc.timestamp()


@pytest.mark.parametrize(
    ("machine", "more"),
    [("Box-1.corp", ["box-1.corp"]), ("localhost", []), ("", []), ("a b", []), ("a" * 300, [])],
)
def test_a_machine_may_have_any_name(machine: str, more: list[str]) -> None:
    assert self_signed.names_for(Config(), machine) == [*local_ca.NAMES, *more]


def test_it_is_kept_while_it_will_do() -> None:
    first = load("a.example", "b.example")
    assert made(load("a.example", known=first.material)) == made(first)
    other = made(load("c.example", known=first.material))
    assert other != made(first)
    assert other.key != made(first).key
    assert made(load("a.example", "b.example")) != made(first)  # nothing outlives its process


@pytest.mark.parametrize(("left", "is_kept"), [(31 * DAY, True), (29 * DAY, False)])
def test_it_is_replaced_before_it_ends(left: float, is_kept: bool) -> None:
    first = load()
    then = made(first).expires - left
    again = self_signed.self_signed(first.config, made(first), then)
    assert (again == made(first)) is is_kept


def test_workers_get_it_and_no_file_has_it() -> None:
    loaded = load()
    assert list(files(loaded.config)) == []
    unpacker = Unpacker()
    for message in pack(loaded.config, loaded.material):
        unpacker.feed(message)
    assert unpacker.material.certificates == {pair(*SELF_SIGNED): made(loaded)}


def test_openssl_agrees(tmp_path: Path) -> None:
    certified = made(load("shop.example"))
    (tmp_path / "edge.pem").write_bytes(certified.cert)
    context = ssl.create_default_context()
    context.load_verify_locations(tmp_path / "edge.pem")
    command = ["openssl", "x509", "-in", "edge.pem", "-noout", "-fingerprint", "-sha256"]
    told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert told.strip().endswith(f"={certified.fingerprint}")
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "edge.pem"]
    verify += ["-verify_hostname", "shop.example", "edge.pem"]
    subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True)
