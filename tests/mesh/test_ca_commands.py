"""`spangate ca`: what is printed, which files there are, which exit code."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

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
    for id, why in (("spiffe://else/job", "does not speak for"), ("job", "does not begin with")):
        refused = run("issue", id, "--dir", place, "--out", str(out))
        assert refused.exit_code == 1 and why in refused.stderr


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    assert run("make", "--dir", str(tmp_path), "--domain", "No Domain").exit_code == 1
    run("make", "--dir", str(tmp_path), "--domain", "one")
    other = run("make", "--dir", str(tmp_path), "--domain", "two")
    assert other.exit_code == 1 and "is for 'one', not for 'two'" in other.stderr
    assert run("rotate", "--dir", str(tmp_path), "--overlap", "soon").exit_code == 1
