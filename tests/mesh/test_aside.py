"""Work on certificates in another process: what it gives, and what it says where it cannot."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from proxy.mesh import aside
from proxy.mesh.aside import ask


def test_the_svid_comes_back_whole(tmp_path: Path) -> None:
    now = time.time()
    made = ask("local", str(tmp_path), "spiffe://mesh/shop", "mesh", 3600.0, now)
    assert str(made.id) == "spiffe://mesh/shop" == made.certified.uris[0]
    assert b"PRIVATE KEY" in made.certified.key and list(made.trust) == ["mesh"]
    assert made.changes > now and made.roots["mesh"][0].sha256.count(":") == 31
    assert "PRIVATE" not in repr(made)


def test_what_is_wrong_is_told_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no identity: tls\.crt"):
        ask("files", str(tmp_path), time.time())


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "COMMAND", ("/bin/false",))
    with pytest.raises(ValueError, match="its process ended with code 1"):
        ask("files", "/", 0.0)
