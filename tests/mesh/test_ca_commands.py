"""`spangate ca`: what is printed, which files there are, which exit code."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.cli import main
from proxy.mesh import ca_files


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["ca", *words])


def states(folder: Path) -> list[str]:
    said = json.loads(run("show", "--dir", str(folder), "--json").stdout)
    return [root["state"] for root in said["roots"]]


def test_it_is_made_shown_and_rotated(tmp_path: Path) -> None:
    place = str(tmp_path / "ca")
    missing = run("show", "--dir", place)
    assert missing.exit_code == 1 and "there is no authority in" in missing.stderr
    made = run("make", "--dir", place, "--domain", "shop.example")
    assert made.exit_code == 0
    assert f"authority of spiffe://shop.example in {place}" in made.stdout
    assert "bundle.pem" in made.stdout and "KEY" not in made.stdout
    assert states(tmp_path / "ca") == ["signs"]
    assert run("rotate", "--dir", place, "--overlap", "1h").exit_code == 0
    assert states(tmp_path / "ca") == ["signs", "next"]
    twice = run("rotate", "--dir", place)
    assert twice.exit_code == 1 and "a new root waits already to sign" in twice.stderr
    assert (tmp_path / "ca" / ca_files.BUNDLE).read_text().count("BEGIN") == 2


def test_a_new_root_signs_before_the_old_one_ends(tmp_path: Path) -> None:
    """Or nobody would sign in between."""
    run("make", "--dir", str(tmp_path))
    late = run("rotate", "--dir", str(tmp_path), "--overlap", "8750h")
    assert late.exit_code == 1 and "the root that signs now ends" in late.stderr
    assert states(tmp_path) == ["signs"]
    assert run("rotate", "--dir", str(tmp_path), "--overlap", "8700h").exit_code == 0


def test_at_once_the_old_root_counts_on(tmp_path: Path) -> None:
    run("make", "--dir", str(tmp_path))
    run("rotate", "--dir", str(tmp_path), "--overlap", "0s")
    assert states(tmp_path) == ["trusted", "signs"]


def test_an_identity_for_somebody_else(tmp_path: Path) -> None:
    place, out = str(tmp_path / "ca"), tmp_path / "out"
    run("make", "--dir", place)
    said = run("issue", "spiffe://mesh/job", "--dir", place, "--out", str(out), "--dns", "job.mesh")
    assert said.exit_code == 0, said.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(out / "svid.pem", out / "svid_key.pem")
    context.load_verify_locations(out / "svid_bundle.pem")
    assert (out / "svid_key.pem").stat().st_mode & 0o077 == 0
    refused = run("issue", "spiffe://else/job", "--dir", place, "--out", str(out))
    assert refused.exit_code == 1 and "does not speak for" in refused.stderr


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    run("make", "--dir", str(tmp_path), "--domain", "one")
    other = run("make", "--dir", str(tmp_path), "--domain", "two")
    assert other.exit_code == 1 and "is for 'one', not for 'two'" in other.stderr
    missing = run("show", "--dir", str(tmp_path / "none"))
    assert f"spangate ca make --dir {tmp_path / 'none'}" in missing.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["make", "--domain", "No Domain"], "'--domain': trust domains have small letters"),
        (["rotate", "--overlap", "soon"], "'--overlap': 'soon' is not a duration"),
        (["issue", "job"], "'SPIFFE-ID': it does not begin with spiffe://"),
        (["issue", "spiffe://mesh/job", "--ttl", "soon"], "'--ttl': 'soon' is not a duration"),
        (["issue", "spiffe://mesh/job", "--ttl", "0s"], "'--ttl': between 2s and 24h"),
        (["issue", "spiffe://mesh/job", "--ttl", "48h"], "'--ttl': between 2s and 24h"),
        (["issue", "spiffe://mesh/job", "--dns", "bad name"], "'--dns': 'bad name' is no DNS name"),
        (["issue", "spiffe://mesh/job", "--dns", ""], "'--dns': '' is no DNS name"),
        (["issue", "spiffe://mesh/job", "--dns", "http://a"], "'--dns': 'http://a' is no DNS name"),
    ],
)
def test_what_is_typed_wrongly_is_named_and_does_nothing(
    tmp_path: Path, words: list[str], says: str
) -> None:
    place, out = tmp_path / "ca", tmp_path / "out"
    more = ["--dir", str(place), *(["--out", str(out)] if words[0] == "issue" else [])]
    refused = run(*words, *more)
    assert refused.exit_code == 2 and says in refused.stderr, refused.stderr
    assert not place.exists() and not out.exists()
