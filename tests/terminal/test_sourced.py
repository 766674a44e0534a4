"""What `spangate check` and `explain` say of sources, which only a running gateway asks."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from proxy.cli import main
from tests.hub.gateway import MINIMAL, gateway

ETCD = '[source.etcd]\nservers = ["http://127.0.0.1:9"]\n'
FILES = '[source.file]\npath = "conf.d/*.toml"\n'


def write(folder: Path, more: str, admin: str = "127.0.0.1:0") -> str:
    file = folder / "routes.toml"
    text = MINIMAL.format(more=more)
    file.write_text(text.replace('[admin]\nlisten = "127.0.0.1:0"', f'[admin]\nlisten = "{admin}"'))
    return str(file)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.output


def test_check_says_what_it_does_not_ask(tmp_path: Path) -> None:
    code, said = run("check", write(tmp_path, ETCD))
    assert (code, said.splitlines()[0]) == (0, "ok: 1 route, 0 upstreams")
    assert "[source.etcd]: what it gives is not in here" in said


def test_check_reads_further_files(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text('[[route]]\npath = "/a"\nrespond = "a"\n')
    file = write(tmp_path, FILES)
    assert run("check", file) == (0, "ok: 2 routes, 0 upstreams\n")
    (tmp_path / "conf.d" / "b.toml").write_text('[[route]]\npath = "b"\nrespond = "a"\n')
    code, said = run("check", file)
    assert (code, said.partition(": ")[0]) == (1, "conf.d/b.toml:2")
    (tmp_path / "conf.d" / "b.toml").write_text("[[route]\n")
    code, said = run("check", file)
    assert (code, said.partition(": ")[0]) == (1, "conf.d/b.toml")


def test_explain_asks_the_gateway_that_runs(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text('[[route]]\npath = "/a"\nrespond = "a"\n')
    text = MINIMAL.format(more=ETCD + FILES)
    with gateway(tmp_path, text, workers=1) as hub:
        file = write(tmp_path, ETCD, f"127.0.0.1:{hub.admin}")
        code, said = run("explain", file, "/a")
        assert code == 0
        assert "conf.d/a.toml:1" in said
        assert f"by the gateway that runs, on 127.0.0.1:{hub.admin}" in said
    code, said = run("explain", file, "/a")
    assert code == 0
    assert "only a running gateway asks it" in said
    assert f"no gateway at http://127.0.0.1:{hub.admin}" in said
