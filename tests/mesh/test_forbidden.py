"""What helps a sidecar that must not look destinations up, reason by reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from proxy.bpf import forbidden

OTHER = 4_000_000  # nobody's number here


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """In the place of a map, in its folder, in a bpffs."""
    bpffs = tmp_path / "bpf"
    path = bpffs / "spangate-1" / "destinations"
    path.parent.mkdir(parents=True)
    path.touch()
    bpffs.chmod(0o711)
    return path


def told(code: int, path: Path, uid: int) -> str:
    return forbidden.told(OSError(code, "-"), str(path), uid)


def test_the_map_of_another_user_is_given_by_mesh_run(made: Path) -> None:
    assert told(errno.EACCES, made, OTHER) == (
        f"start them by spangate mesh run --sidecar-user {OTHER}"
    )
    assert "--sidecar-user" in told(errno.EACCES, made.with_name("gone"), OTHER)
    assert "--sidecar-user" in told(errno.EACCES, Path("/no/such/place"), OTHER)


def test_its_own_needs_no_other_user(made: Path) -> None:
    said = told(errno.EACCES, made, os.geteuid())
    assert "--sidecar-user" not in said and "a security module" in said


def test_a_bpffs_that_is_shut_comes_first(made: Path) -> None:
    bpffs = made.parents[1]
    bpffs.chmod(0o700)
    assert (
        told(errno.EACCES, made, OTHER) == f"user {OTHER} may not enter {bpffs}: chmod o+x {bpffs}"
    )
    assert forbidden.barred(str(bpffs), os.geteuid()) == forbidden.barred(str(bpffs), 0) == ""


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n", "a seccomp profile denies bpf()"),
        ("Name:\tpython\nSeccomp:\t0\n", "the kernel denies bpf()"),
        ("Name:\tSeccomp:\t2\n", "the kernel denies bpf()"),
        ("", "the kernel denies bpf()"),
    ],
)
def test_where_nobody_may_a_capability_helps(status: str, says: str) -> None:
    said = forbidden.denied(status)
    assert said.startswith(says) and "CAP_BPF" in said and "--sidecar-user" not in said
