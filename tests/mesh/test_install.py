"""What the kernel and the host lack, and the commands, in namespaces of the tests' own."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from pwd import getpwnam

import pytest
from click.testing import CliRunner

from proxy.bpf.places import network
from proxy.cli import main
from proxy.config.mesh_model import Mesh
from proxy.mesh import cgroups
from proxy.mesh.install import CannotRedirect, install, lacking, refused, remove
from proxy.mesh.rules import Own, Redirect, Rule, redirect
from tests.mesh.hosts import V4, Host, hosts, needs_namespaces

ROUTE = '[[route]]\nto = "http://127.0.0.1:1"\n'
MESH = '[mesh]\nredirect = "nft"\nexclude = { ports = [22], users = ["root"] }\n'
ROUTING = "routing rules and routing table 133"
CHAINS = "chains SPANGATE_OUTPUT and SPANGATE_PREROUTING"

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")


def wanted(how: str) -> Redirect:
    return redirect(Mesh(redirect=how), Own(1337))  # type: ignore[arg-type]


@needs_namespaces
@needs_nft
def test_a_rule_that_the_kernel_refuses_is_told_with_its_module() -> None:
    with hosts("pod") as (pod,):
        rules = [
            Rule("output", "loopback", 'oifname "lo" return'),
            Rule("output", "nonsense", "redirect to :1 to :2", "nft_nonsense"),
        ]
        told = pod.inside(lambda: refused(rules))
        assert len(told) == 1
        assert "kernel module nft_nonsense is not there" in told[0]
        assert pod.run("nft", "list", "ruleset").stdout == ""  # asking changes nothing


@needs_namespaces
@needs_nft
@pytest.mark.skipif(shutil.which("iptables-nft") is None, reason="no iptables by nf_tables")
def test_a_table_that_iptables_cannot_read_is_left_alone() -> None:
    strange = (
        "table ip nat {\n chain OUTPUT { type nat hook output priority -100;\n"
        " tcp dport 7 redirect to :9\n }\n}\n"
    )
    with hosts("pod") as (pod,):
        assert pod.run("nft", "-f", "-", text=strange).returncode == 0
        before = pod.run("nft", "list", "ruleset").stdout
        if "incompatible" not in pod.run("iptables-save").stdout:
            pytest.skip("this iptables reads it")
        ways = wanted("iptables")
        with pytest.raises(CannotRedirect, match="cannot read the table nat"):
            pod.inside(lambda: install(ways))
        assert pod.run("nft", "list", "ruleset").stdout == before
        pod.inside(remove)  # is no matter of it
        assert pod.run("nft", "flush", "ruleset").returncode == 0
        pod.inside(lambda: install(ways))
        assert pod.run("nft", "-f", "-", text=strange).returncode == 0  # since
        pod.inside(remove)
        after = pod.run("nft", "list", "ruleset").stdout
        assert "SPANGATE" not in after and "redirect to :9" in after


@needs_namespaces
@needs_nft
def test_nothing_is_there_before_it_is_made() -> None:
    with hosts("pod") as (pod,):
        ways = wanted("nft")
        told = pod.inside(lambda: lacking(ways))
        assert len(told) == 1 and "`spangate redirect install` makes them" in told[0]


def spangate(pod: Host, *words: str) -> tuple[int, str]:
    done = pod.run(sys.executable, "-m", "proxy", *words)
    return done.returncode, done.stdout + done.stderr


@needs_namespaces
@needs_nft
def test_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(MESH + ROUTE)
    with hosts("pod") as (pod,):
        code, told = spangate(pod, "redirect", "check", str(file), "--user", "1337")
        assert code == 1 and "none of the" in told
        ports = [pod.listen(V4, "127.0.0.1", port) for port in (15001, 15006)]
        code, told = spangate(pod, "redirect", "install", str(file), "--user", "1337")
        assert code == 0 and told == "redirected by nft: in to :15006, out to :15001\n"
        for port in ports:
            port.close()
        code, told = spangate(pod, "redirect", "check", str(file), "--user", "1337")
        assert code == 0 and told == "ok: redirected by nft\n"
        code, told = spangate(pod, "redirect", "check", str(file))
        assert code == 1 and "the --user and --group of `spangate redirect install`" in told
        assert "skuid { 0, 1337 }" in pod.run("nft", "list", "ruleset").stdout
        code, told = spangate(pod, "redirect", "check", str(file), "--user", "1338")
        assert code == 1 and "1338" in told
        file.write_text("this is no longer a configuration")
        removed = (0, "removed: nft table inet spangate\n")
        assert spangate(pod, "redirect", "remove", str(file)) == removed
        assert pod.run("nft", "list", "ruleset").stdout == ""
        nothing = (0, "nothing to remove: there are no rules of spangate's here\n")
        assert spangate(pod, "redirect", "remove") == nothing


@needs_namespaces
@needs_nft
def test_rules_that_lead_to_nobody_are_warned_of() -> None:
    """They shut out whoever made them from afar, if `exclude` does not have his port."""
    with hosts("pod") as (pod,):
        port = pod.listen(V4, "127.0.0.1", 15001)
        code, told = spangate(pod, "redirect", "install", "--user", "1337")
        port.close()
        nobody = "nobody listens at port 15006: connections will be refused until a sidecar does"
        assert code == 0 and f"warning: {nobody}\n" in told and "15001:" not in told


@needs_namespaces
@needs_nft
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("tproxy", ["nft table inet spangate", *(f"{ROUTING} of IPv{v}" for v in (4, 6))]),
        ("iptables", [f"{family} {CHAINS}" for family in ("iptables", "ip6tables")]),
    ],
)
def test_remove_tells_what_there_was(how: str, told: list[str]) -> None:
    if how == "iptables" and shutil.which("ip6tables-save") is None:
        pytest.skip("iptables is not installed")
    ways = wanted(how)
    with hosts("pod") as (pod,):
        assert pod.inside(remove) == []
        pod.inside(lambda: install(ways))
        assert pod.inside(remove) == told
        assert pod.inside(remove) == []


@needs_namespaces
@needs_nft
def test_remove_that_fails_halfway_tells_what_it_has_removed(tmp_path: Path) -> None:
    refusing = tmp_path / "ip"
    refusing.write_text(
        '#!/bin/sh\ncase "$*" in *del*) echo "it is forbidden" >&2; exit 2;; esac\n'
        f'exec {shutil.which("ip")} "$@"\n'
    )
    refusing.chmod(0o755)
    ways = wanted("tproxy")
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    with hosts("pod") as (pod,):
        pod.inside(lambda: install(ways))
        done = pod.run("env", path, sys.executable, "-m", "proxy", "redirect", "remove")
        assert done.returncode == 1
        assert done.stdout == "removed: nft table inet spangate\n"
        lines = done.stderr.splitlines()
        assert [re.sub("(?<= del).*:", ":", line) for line in lines] == [
            f"ip -{version} rule del: it is forbidden" for version in (4, 6)
        ]
        code, told = spangate(pod, "redirect", "remove")
        assert code == 0 and told.splitlines() == [f"removed: {ROUTING} of IPv{v}" for v in (4, 6)]


@needs_namespaces
@pytest.mark.parametrize("populated", [0, 1])
def test_what_cannot_be_removed_is_no_command_that_runs(
    populated: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a folder that is no cgroup, and that the kernel refuses for another reason than those."""
    monkeypatch.setattr(cgroups, "root", lambda: str(tmp_path))
    with hosts("pod") as (pod,):
        group = tmp_path / f"spangate-{pod.inside(network)}-1"
        group.mkdir()
        (group / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
        done = pod.inside(lambda: CliRunner().invoke(main, ["redirect", "remove"]))
    running = "1 command is still redirected by spangate mesh run, for as long as it runs\n"
    stuck = f"cgroup {group}: Directory not empty\n"
    assert (done.exit_code, done.output) == ((0, running) if populated else (1, stuck))


@needs_namespaces
@needs_nft
def test_a_user_that_is_not_here_sends_nothing(tmp_path: Path) -> None:
    """So that one file does for hosts that differ; a slip is told all the same."""
    file = tmp_path / "routes.toml"
    file.write_text(MESH.replace('"root"', '"daemon", "nobody at all"') + ROUTE)
    with hosts("pod") as (pod,):
        words = ["redirect", "install", str(file), "--user", "1337"]
        code, told = spangate(pod, *words)
        assert code == 0 and "there is no user 'nobody at all' here" in told
        left_alone = f"skuid {{ {getpwnam('daemon').pw_uid}, 1337 }}"
        assert left_alone in pod.run("nft", "list", "ruleset").stdout
        code, told = spangate(pod, "redirect", "check", str(file), "--user", "1337")
        assert code == 0 and "there is no user 'nobody at all' here" in told


@needs_namespaces
@needs_nft
def test_root_is_told_that_root_is_left_alone() -> None:
    with hosts("pod") as (pod,):
        code, told = spangate(pod, "redirect", "install", "--by", "nft")
        assert code == 0 and "what root sends is not redirected" in told
        assert "skuid 0 return" in pod.run("nft", "list", "ruleset").stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["redirect", "chekc"], 2, "No such command"),
        (["redirect", "check", "--by", "magic"], 2, "'magic' is not one of"),
        (["redirect", "check", "a.toml", "b.toml"], 2, "unexpected extra argument"),
        (["redirect", "install", "FILE"], 2, "has no [mesh]"),
        (["redirect", "check", "EMPTY"], 2, "EMPTY has no [mesh]"),
        (["redirect", "check", "SLIP"], 2, "SLIP has no [mesh]"),
        (["mesh", "run", "--file", "EMPTY", "true"], 2, "EMPTY has no [mesh]"),
        (["redirect", "install", "NONE"], 2, 'mesh.redirect is "none"'),
        (["redirect", "install", "--by", "ebpf"], 2, "spangate mesh run -- COMMAND"),
        (["redirect", "check", "no-such-file.toml"], 1, "cannot read it"),
        (["redirect", "check", "--by", "nft", "--user", "nobody at all"], 1, "there is no user"),
        (["redirect", "check", "BAD"], 1, "10.0.0.0/33"),
        (["mesh", "run"], 2, "Missing argument"),
        (["mesh", "run", ""], 2, "COMMAND is empty"),
        (["mesh", "run", "--sidecar-usr", "nobody", "true"], 2, "No such option"),
        (["mesh", "run", "--user", "nobody at all", "--", "true"], 1, "there is no user"),
    ],
)
def test_what_is_typed_wrongly(
    words: list[str], code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = MESH.replace("users", 'networks = ["10.0.0.0/33"], users')
    texts = {"FILE": "", "NONE": '[mesh]\napp = "127.0.0.1:8000"\n', "BAD": bad}
    for name, text in texts.items():
        (tmp_path / name).write_text(text + ROUTE)
    (tmp_path / "EMPTY").touch()
    (tmp_path / "SLIP").write_text("lisen = 8080\n" + ROUTE)
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, told in done.output) == (code, True), done.output
