"""`[recent]`: where the folder is, and what cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load, loads
from proxy.errors import ConfigError

ROUTE = '[[route]]\npath = "/"\nrespond = "pong"\n'


def written(folder: Path, recent: str) -> str:
    file = folder / "routes.toml"
    file.write_text(f"{ROUTE}[recent]\n{recent}\n")
    return str(file)


def test_a_relative_folder_is_beside_the_configuration(tmp_path: Path) -> None:
    file = written(tmp_path, 'path = "${FOLDER}/recent"')
    loaded = load(file, {"FOLDER": "kept"})
    assert loaded.config.recent.path == str(tmp_path / "kept/recent")
    loaded = load(file, {"FOLDER": "/var/lib/spangate"})
    assert loaded.config.recent.path == "/var/lib/spangate/recent"
    assert not (tmp_path / "kept").exists()


def test_nothing_is_on_disk_unless_it_is_asked_for() -> None:
    assert loads(ROUTE, "/etc/routes.toml", {}).config.recent.path == ""


@pytest.mark.parametrize(
    ("recent", "key", "why"),
    [
        ('path = "file"', "recent.path", "/file is a file"),
        ('path = "file/below"', "recent.path", "/file is a file"),
        ('path = "a\\u0000b"', "recent.path", "NUL"),
        ('path = "kept"\ndisk = "1MiB"', "recent.disk", "no room for anything"),
        ('path = "kept"\ndisk = "much"', "recent.disk", "much"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, recent: str, key: str, why: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, recent), {})
    (problem,) = caught.value.problems
    assert (problem.key, why in problem.message) == (key, True), problem
    assert problem.remedy or "NUL" in why or "much" in why


def test_a_folder_for_nothing_is_warned_about(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, 'path = "kept"\nsize = 0'), {})
    assert [(problem.key, problem.remedy) for problem in loaded.warnings] == [
        ("recent.path", "give it a size, or leave out path")
    ]
