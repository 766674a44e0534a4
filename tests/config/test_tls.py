"""Files of TLS that are no use: each is told with its path, the reason and what to do."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from proxy.config import local_ca
from proxy.config.load import loads
from proxy.config.loaded import Loaded
from proxy.config.material import files, pair
from proxy.config.wire import Unpacker, pack
from proxy.errors import ConfigError

LISTENER = """
[[listen]]
address = ":8443"
tls = {{ {tls} }}
[[route]]
path = "/*"
respond = 200
"""
UPSTREAM = """
[[route]]
path = "/*"
to = "b"
[upstream.b]
servers = ["{server}"]
tls = {{ {tls} }}
"""
EDGE = 'cert = "edge.pem", key = "edge.key"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With edge.pem and edge.key, which are fine, and those of somebody else."""
    for name in ("edge", "other"):
        local_ca.make(str(tmp_path), [name])
    return tmp_path


def load(folder: Path, text: str) -> Loaded:
    return loads(text, str(folder / "routes.toml"), {})


def told(folder: Path, text: str) -> list[str]:
    """Problems and warnings, without the file's name."""
    try:
        problems = load(folder, text).warnings
    except ConfigError as error:
        problems = error.problems
    return [str(p).partition("routes.toml:")[2].replace(str(folder) + "/", "") for p in problems]


def old(folder: Path, days: int) -> None:
    """An edge.pem that expires in so many days."""
    now = datetime.datetime.now(datetime.UTC)
    made = trustme.CA().issue_cert("edge", not_after=now + datetime.timedelta(days=days))
    made.cert_chain_pems[0].write_to_path(str(folder / "edge.pem"))
    made.private_key_pem.write_to_path(str(folder / "edge.key"))
    (folder / "edge.key").chmod(0o600)


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def recode(folder: Path, *words: str) -> None:
    """edge.key in another form."""
    openssl(folder, "pkey", "-in", "edge.key", *words, "-out", "new.key")
    (folder / "new.key").replace(folder / "edge.key")


def expired_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    year = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(year)
        .not_valid_after(year.replace(year=2021))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def swap(folder: Path) -> None:
    (folder / "edge.pem").write_bytes((folder / "other.pem").read_bytes())


def turn(folder: Path) -> None:
    """The chain in the wrong order."""
    pem = (folder / "edge.pem").read_text()
    first, second = pem.split("-----END CERTIFICATE-----\n")[:2]
    end = "-----END CERTIFICATE-----\n"
    (folder / "edge.pem").write_text(second + end + first + end)


def weaken(folder: Path) -> None:
    openssl(folder, "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "9",
            "-subj", "/CN=edge", "-keyout", "edge.key", "-out", "edge.pem")  # fmt: skip
    (folder / "edge.key").chmod(0o600)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no certificate": (
        lambda f: (f / "edge.pem").unlink(),
        "4: listen[0].tls.cert: cannot read edge.pem: there is no such file (`spangate cert` ",
    ),
    "no key": (
        lambda f: (f / "edge.key").unlink(),
        "4: listen[0].tls.key: cannot read edge.key: there is no such file (`spangate cert` ",
    ),
    "a folder": (
        lambda f: ((f / "edge.pem").unlink(), (f / "edge.pem").mkdir()),
        "4: listen[0].tls.cert: cannot read edge.pem: is a directory",
    ),
    "an empty file": (
        lambda f: (f / "edge.pem").write_text("\n"),
        "4: listen[0].tls.cert: edge.pem is empty",
    ),
    "text": (
        lambda f: (f / "edge.pem").write_text("-----BEGIN hello"),
        "4: listen[0].tls.cert: edge.pem holds no certificate in PEM",
    ),
    "DER": (
        lambda f: openssl(f, "x509", "-in", "edge.pem", "-outform", "DER", "-out", "edge.pem"),
        "4: listen[0].tls.cert: edge.pem holds no certificate in PEM (`openssl x509 -inform DER ",
    ),
    "half a certificate": (
        lambda f: (f / "edge.pem").write_text((f / "edge.pem").read_text()[:300]),
        "4: listen[0].tls.cert: edge.pem holds a broken certificate: ",
    ),
    "a key for a certificate": (
        lambda f: (f / "edge.pem").write_bytes((f / "edge.key").read_bytes()),
        "4: listen[0].tls.cert: edge.pem holds a private key and no certificate (`cert` is the ",
    ),
    "a certificate for a key": (
        lambda f: (f / "edge.key").write_bytes((f / "edge.pem").read_bytes()),
        "4: listen[0].tls.cert: edge.key holds a certificate and no key (`key` is the private ",
    ),
    "a key in DER": (
        lambda f: recode(f, "-outform", "DER"),
        "4: listen[0].tls.cert: edge.key holds no private key in PEM (`openssl pkey -inform DER ",
    ),
    "an encrypted key": (
        lambda f: recode(f, "-aes256", "-passout", "pass:x"),
        "4: listen[0].tls.cert: the key edge.key is encrypted (`openssl pkey -in edge.key -out ",
    ),
    "half a key": (
        lambda f: (f / "edge.key").write_text((f / "edge.key").read_text()[:90]),
        "4: listen[0].tls.cert: edge.key holds a broken private key: ",
    ),
    "another one's": (
        swap,
        "4: listen[0].tls.cert: the key edge.key does not belong to edge.pem (name the key that ",
    ),
    "the authority first": (
        turn,
        "4: listen[0].tls.cert: the certificate of the key is not the first in edge.pem (order ",
    ),
    "expired": (
        lambda f: old(f, -1),
        "4: listen[0].tls.cert: the certificate in edge.pem expired on ",
    ),
    "soon": (
        lambda f: old(f, 1),
        "4: warning: listen[0].tls.cert: the certificate in edge.pem expires on ",
    ),
    "a short key": (
        weaken,
        "4: listen[0].tls.cert: edge.pem cannot be used: its key is too short to be safe (make ",
    ),
    "a key for all to see": (
        lambda f: (f / "edge.key").chmod(0o644),
        "4: warning: listen[0].tls.key: every user can read edge.key (`chmod 600 edge.key`)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_files(folder: Path, spoil: Callable[[Path], object], expected: str) -> None:
    spoil(folder)
    found = told(folder, LISTENER.format(tls=EDGE))
    assert len(found) == 1
    assert found[0].startswith(expected)


KEYS = {
    'cert = "edge.pem"': ["`cert` and `key` come together"],
    'min = "1.3"': ["a listener with TLS needs a certificate"],
    EDGE + ', certificates = [{ cert = "other.pem", key = "edge.key" }]': [
        "the key edge.key does not belong to other.pem"
    ],
    EDGE + ', client = "require"': ["who may sign client certificates is not said"],
    EDGE + ', client = "none", client_ca = "ca.pem"': ["nobody is asked for a certificate"],
    EDGE + ', client_ca = "edge.key"': ["edge.key holds a private key and no certificate"],
    EDGE + ', client_ca = "none.pem"': ["cannot read none.pem: there is no such file"],
    "self_signed = true": [],
    'self_signed = true, min = "1.3", client_ca = "ca.pem"': [],
    'self_signed = true, client = "require"': ["who may sign client certificates is not said"],
    "self_signed = false": ["a listener with TLS needs a certificate"],
    "self_signed = true, " + EDGE: ["there is a certificate already, by `cert` (leave out one"],
    'self_signed = true, key = "edge.key"': [
        "`cert` and `key` come together",
        "there is a certificate already, by `key`",
    ],
    'self_signed = true, certificates = [{ cert = "other.pem", key = "other.key" }]': [
        "there is a certificate already, by `certificates`"
    ],
    EDGE: [],
    EDGE + ', client_ca = "ca.pem", client = "request"': [],
    'certificates = [{ cert = "other.pem", key = "other.key" }]': [],
}


@pytest.mark.parametrize(("tls", "expected"), KEYS.items())
def test_keys_of_a_listener(folder: Path, tls: str, expected: list[str]) -> None:
    found = told(folder, LISTENER.format(tls=tls))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


OF_UPSTREAMS = {
    ("https://h:1", 'ca = "ca.pem", cert = "edge.pem", key = "edge.key"'): [],
    ("https://h:1", 'identities = ["spiffe://mesh/orders"]'): [],
    ("https://h:1", 'cert = "edge.pem"'): ["`cert` and `key` come together"],
    ("https://h:1", 'ca = "edge.key"'): ["edge.key holds a private key and no certificate"],
    ("https://h:1", 'identities = ["orders"]'): ["'orders' is not a URI"],
    ("https://h:1", "verify = false"): ["certificates of servers are not verified"],
    ("https://h:1", 'verify = false, identities = ["a://b"]'): [
        "identities say nothing where certificates are not verified",
        "certificates of servers are not verified",
    ],
    ("http://h:1", 'ca = "ca.pem"'): ["none of these servers has TLS"],
}


@pytest.mark.parametrize(("said", "expected"), OF_UPSTREAMS.items())
def test_keys_of_an_upstream(folder: Path, said: tuple[str, str], expected: list[str]) -> None:
    found = told(folder, UPSTREAM.format(server=said[0], tls=said[1]))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


def test_an_authority_that_has_expired_and_one_among_others(folder: Path) -> None:
    (folder / "old.pem").write_bytes(expired_authority())
    text = UPSTREAM.format(server="https://h:1", tls='ca = "old.pem"')
    assert "upstream.b.tls.ca: the certificate in old.pem expired on" in told(folder, text)[0]
    both = (folder / "old.pem").read_bytes() + (folder / "ca.pem").read_bytes()
    (folder / "old.pem").write_bytes(both)
    (found,) = told(folder, text)
    assert "warning: upstream.b.tls.ca: the certificate in old.pem expired on" in found


def test_what_was_checked_is_what_workers_get(folder: Path) -> None:
    loaded = load(folder, LISTENER.format(tls=EDGE + ', client_ca = "ca.pem"'))
    assert list(files(loaded.config)) == ["edge.pem", "edge.key", "ca.pem"]
    unpacker = Unpacker()
    for message in pack(loaded.config, loaded.material):
        unpacker.feed(message)
    assert unpacker.material == loaded.material
    certified = unpacker.material.certificates[pair("edge.pem", "edge.key")]
    assert certified.key == (folder / "edge.key").read_bytes()
    assert certified.names == ["edge"]
    assert unpacker.material.authority("ca.pem") == (folder / "ca.pem").read_bytes()
    with pytest.raises(ValueError, match="was not read"):
        unpacker.material.certified("x.pem", "x.key")


def test_certificates_for_development(tmp_path: Path) -> None:
    made = local_ca.make(str(tmp_path / "new"), ["Shop.example", "::1", "spiffe://mesh/me"])
    assert made.is_new_ca
    assert {f.name: f.stat().st_mode & 0o777 for f in made.ca.parent.iterdir()} == {
        "ca.key": 0o600, "ca.pem": 0o644, "Shop.example.key": 0o600, "Shop.example.pem": 0o644,
    }  # fmt: skip
    again = local_ca.make(str(tmp_path / "new"), ["*.shop.example"])
    assert not again.is_new_ca
    assert again.cert.name == "_.shop.example.pem"
    openssl(tmp_path / "new", "verify", "-CAfile", "ca.pem", "Shop.example.pem", again.cert.name)
    with pytest.raises(ValueError, match="neither a host name"):
        local_ca.make(str(tmp_path), ["a b"])
    (tmp_path / "new" / "ca.key").write_bytes(made.key.read_bytes())
    with pytest.raises(ValueError, match="its key is another one's"):
        local_ca.make(str(tmp_path / "new"))
