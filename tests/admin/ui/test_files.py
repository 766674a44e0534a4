"""The files of the pages: their size, what the bundle is made of, what a strict policy refuses."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = ROOT / "proxy" / "admin" / "ui"
SOURCES = ROOT / "ui"
BUNDLE = ("vendor.js", "vendor.css", "LICENSES.txt")
MOST = 150_000  # bytes of all that a browser may load, each file by gzip


def test_everything_together_is_small() -> None:
    sizes = {
        path.relative_to(FILES).as_posix(): len(gzip.compress(path.read_bytes(), 9, mtime=0))
        for path in FILES.rglob("*")
        if path.suffix in (".js", ".css", ".html", ".svg")
    }
    assert {"app.js", "index.html", "style.css", "vendor.js"} <= sizes.keys()
    assert sum(sizes.values()) <= MOST, sizes


@pytest.mark.skipif(
    shutil.which("node") is None or not (SOURCES / "node_modules" / "esbuild").is_dir(),
    reason="needs node, and `npm ci` in ui",
)
def test_the_bundle_is_made_of_what_is_locked_byte_by_byte(tmp_path: Path) -> None:
    built = subprocess.run(
        ["node", str(SOURCES / "build.mjs"), str(tmp_path)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for name in BUNDLE:
        assert (tmp_path / name).read_bytes() == (FILES / name).read_bytes(), name


def test_every_package_is_locked_by_its_hash_and_has_its_licence_here() -> None:
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    others = {path: about for path, about in lock["packages"].items() if path}
    assert all(about["integrity"].startswith("sha512-") for about in others.values())
    licences = (FILES / "LICENSES.txt").read_text()
    for path, about in others.items():
        if "esbuild" not in path:  # the bundler leaves nothing of itself
            name = path.removeprefix("node_modules/")
            assert f"{name} {about['version']} ({about['license']})" in licences


def test_the_page_has_nothing_inline_and_asks_nobody_else() -> None:
    text = (FILES / "index.html").read_text()
    assert not re.findall(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)", text)
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert not [a for a in addresses if not a.startswith(("/ui/", "#"))]
    for address in addresses:
        path = FILES / address.removeprefix("/ui/")
        assert "." not in address or path.is_file(), address


OURS = sorted(path for path in FILES.rglob("*.js") if path.name != "vendor.js")


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(FILES).as_posix())
def test_strangers_text_never_becomes_markup(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(", text)
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)
    assert len(text.splitlines()) <= 350
