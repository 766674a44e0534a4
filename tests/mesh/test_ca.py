"""The small authority: who signs and who counts at which time, on paper and on a disk."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.svid import identity
from proxy.config.spiffe import parse
from proxy.mesh import ca, ca_files
from proxy.mesh.ca import LONGEST, OVERLAP, ROOT, SKEW, Authority, Root
from proxy.mesh.judged import judged

ME = parse("spiffe://mesh/shop")
_REPLACES = """
import sys
from pathlib import Path
from proxy.mesh.ca_files import replace
replace(Path(sys.argv[1]), b"{}", 0o600, keeps=True)
"""
_MAKES = """
import sys
from proxy.mesh import ca_files
ca_files.made(sys.argv[1], "mesh", 1_800_000_000.0)
"""
_ROTATES = """
import sys
from proxy.mesh import ca_files
print("now", flush=True)
ca_files.rotate(sys.argv[1], 1_800_000_000.0)
"""
NOW = 1_800_000_000.0


def root(name: str, since: float) -> Root:
    return Root(name, "", since, since + ROOT)


def named(roots: list[Root]) -> str:
    return "".join(root.cert for root in roots)


def test_a_new_root_is_trusted_before_it_signs_and_the_old_one_after() -> None:
    turn = NOW + OVERLAP
    both = Authority("mesh", [root("a", NOW - 1000), root("b", turn)])
    over = turn + LONGEST + SKEW
    for at, signs, counts in (
        (NOW, "a", "ab"),
        (turn - 1, "a", "ab"),
        (turn, "b", "ba"),
        (over - 1, "b", "ba"),
        (over, "b", "b"),
    ):
        assert both.signer(at).cert == signs
        assert named(both.trusted(at)) == counts
    assert both.changes(NOW) == turn
    assert both.changes(turn) == over


@given(st.lists(st.floats(0, 3 * ROOT), min_size=1, max_size=6), st.floats(0, 5 * ROOT))
def test_at_any_time_whoever_signed_within_a_day_counts(times: list[float], at: float) -> None:
    authority = Authority("mesh", [root(str(i), since) for i, since in enumerate(sorted(times))])
    for earlier in (at, at - LONGEST / 2, at - LONGEST):
        signed = authority.signer(earlier)
        if signed.since <= earlier and at < signed.until:
            assert signed in authority.trusted(at)
    assert authority.trusted(at)[0] is authority.signer(at)
    changes = authority.changes(at)
    assert changes > at
    if changes != float("inf"):
        assert authority.trusted((at + changes) / 2) == authority.trusted(at)


def test_a_rotation_keeps_what_counts_and_forgets_the_rest() -> None:
    later = NOW + OVERLAP + LONGEST + SKEW
    one = Authority("mesh", [root("a", NOW - 9), root("b", NOW + OVERLAP)])
    assert named(one.rotated(root("c", NOW + 99), NOW).roots) == "abc"
    assert named(one.rotated(root("c", later + OVERLAP), later).roots) == "bc"


def test_a_root_is_followed_at_half_of_its_life() -> None:
    one = Authority("mesh", [root("a", NOW)])
    assert not one.is_due(NOW + ROOT / 2 - 1)
    assert one.is_due(NOW + ROOT / 2)


def test_what_it_signs_is_an_svid_that_openssl_believes() -> None:
    now = time.time()
    made = ca.founded("mesh", now)
    cert, key = ca.issue(made.signer(now), ME, 3600, now, ["shop.mesh"])
    svid = judged(cert, key, {"mesh": made.bundle(now)}, now, ("it", "its key"))
    assert svid.id == ME
    assert svid.certified.uris == [str(ME)] and svid.certified.names == ["shop.mesh"]
    assert 0 <= svid.until - now - 3600 + 1 <= 1.001
    leaf = x509.load_pem_x509_certificate(cert)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    root = x509.load_pem_x509_certificate(made.signer(now).cert.encode())
    assert ca.uri_of(root) == "spiffe://mesh"
    with pytest.raises(ValueError, match="of an authority"):
        from cryptography.hazmat.primitives.serialization import Encoding

        identity(root.public_bytes(Encoding.DER))


@pytest.mark.parametrize("who", ["spiffe://else/shop", "spiffe://mesh"])
def test_it_does_not_speak_for_others(who: str) -> None:
    made = ca.founded("mesh", NOW)
    with pytest.raises(ValueError, match="does not speak for"):
        ca.issue(made.signer(NOW), parse(who), 60, NOW)


def test_nothing_counts_longer_than_a_day_or_than_its_root() -> None:
    made = ca.founded("mesh", NOW)
    for now, end in ((NOW, NOW + LONGEST), (NOW + ROOT - 60, NOW + ROOT)):
        cert, _ = ca.issue(made.signer(now), ME, 9e9, now)
        assert x509.load_pem_x509_certificate(cert).not_valid_after_utc.timestamp() == end


def test_on_a_disk_it_is_made_once_and_its_keys_are_its_owner_s(tmp_path: Path) -> None:
    folder = str(tmp_path / "ca")
    made = ca_files.made(folder, "", NOW)
    assert made.domain == "mesh"
    assert ca_files.made(folder, "mesh", NOW + 5) == made == ca_files.read(folder)
    mode = os.stat(tmp_path / "ca" / ca_files.STATE).st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert (tmp_path / "ca" / ca_files.BUNDLE).read_bytes() == made.bundle(NOW)
    with pytest.raises(ValueError, match="is for 'mesh', not for 'else'"):
        ca_files.made(folder, "else", NOW)


def test_on_a_disk_it_is_rotated_by_hand_and_by_time(tmp_path: Path) -> None:
    folder = str(tmp_path)
    first = ca_files.made(folder, "", NOW).roots[0]
    second = ca_files.rotate(folder, NOW + 10)
    assert second.signer(NOW + 10) == first and len(second.trusted(NOW + 10)) == 2
    with pytest.raises(ValueError, match="waits already"):
        ca_files.rotate(folder, NOW + 20)
    late = NOW + ROOT
    third = ca_files.made(folder, "", late)
    assert len(third.roots) == 2 and first not in third.roots
    assert third.signer(late) == second.roots[1]


def test_whoever_rotates_it_leaves_it_to_whom_it_belongs(tmp_path: Path) -> None:
    ca_files.made(str(tmp_path), "mesh", NOW)
    place, bundle = tmp_path / ca_files.STATE, tmp_path / ca_files.BUNDLE
    place.chmod(0o640)
    owner = (4242, 4243) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    for path in (place, bundle):
        os.chown(path, *owner)
    ca_files.rotate(str(tmp_path), NOW)
    assert {path.name for path in tmp_path.iterdir()} == {place.name, bundle.name, ".lock"}
    for path, mode in ((place, 0o640), (bundle, 0o644)):
        about = path.stat()
        assert (about.st_uid, about.st_gid) == owner
        assert stat.S_IMODE(about.st_mode) == mode


def test_what_is_issued_is_never_a_stranger_s_who_was_there_first(tmp_path: Path) -> None:
    place = tmp_path / "svid_key.pem"
    place.touch(0o666)
    place.chmod(0o666)
    ca_files.replace(place, b"secret", 0o600)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_whoever_may_read_the_folder_holds_up_nobody(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    stranger = os.open(tmp_path, os.O_RDONLY)
    words = [sys.executable, "-c", _MAKES, str(tmp_path)]
    try:
        fcntl.flock(stranger, fcntl.LOCK_SH)
        subprocess.run(words, check=True, timeout=60)
    finally:
        os.close(stranger)
    assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == 0o600


def test_no_two_write_at_a_time(tmp_path: Path) -> None:
    ca_files.made(str(tmp_path), "mesh", NOW)
    with (tmp_path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = [sys.executable, "-c", _ROTATES, str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.read(1)  # it is about to
            before = ca_files.read(str(tmp_path))
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert other.wait(60) == 0
    after = ca_files.read(str(tmp_path))
    assert before is not None and after is not None
    assert (len(before.roots), len(after.roots)) == (1, 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("folder_mode", "lock_mode", "user", "group"),
    [(0o755, 0o600, 4242, 4242), (0o770, 0o660, 4244, 4243)],
)
def test_what_root_locks_those_who_write_in_the_folder_can_lock(
    folder_mode: int, lock_mode: int, user: int, group: int
) -> None:
    with TemporaryDirectory() as folder:
        os.chown(folder, 4242, 4243)
        os.chmod(folder, folder_mode)
        ca_files.made(folder, "mesh", NOW)
        about = Path(folder, ".lock").stat()
        assert (about.st_uid, about.st_gid) == (4242, 4243)
        assert stat.S_IMODE(about.st_mode) == lock_mode
        for name in (ca_files.STATE, ca_files.BUNDLE):
            os.chown(Path(folder, name), user, group)
        words = [sys.executable, "-c", _ROTATES, folder]
        subprocess.run(words, check=True, user=user, group=group, extra_groups=[])


@pytest.mark.parametrize("kind", ["link", "setuid"])
def test_what_is_in_the_way_gives_away_only_what_a_file_may_be(tmp_path: Path, kind: str) -> None:
    """Of a folder that somebody else may write in."""
    ca_files.made(str(tmp_path), "mesh", NOW)
    bundle, other = tmp_path / ca_files.BUNDLE, tmp_path / "other"
    other.touch()
    other.chmod(0o6777)
    if os.geteuid() == 0:
        os.chown(other, 4242, 4243)
        other.chmod(0o6777)
    if kind == "link":
        bundle.unlink()
        bundle.symlink_to(other)
    else:
        other.replace(bundle)
    ca_files.rotate(str(tmp_path), NOW)
    about = bundle.lstat()
    assert stat.S_ISREG(about.st_mode)
    if kind == "link":
        assert (about.st_uid, stat.S_IMODE(about.st_mode)) == (os.geteuid(), 0o644)
    else:
        assert stat.S_IMODE(about.st_mode) == 0o666


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_of_another_group_shows_it_to_nobody_else() -> None:
    """Who may write in the folder, and may not give the file to the group that it was for."""
    with TemporaryDirectory() as folder:
        place = Path(folder, ca_files.STATE)
        place.write_bytes(b"")
        place.chmod(0o640)
        os.chown(place, 4242, 4243)
        os.chmod(folder, 0o777)
        words = [sys.executable, "-c", _REPLACES, str(place)]
        subprocess.run(words, check=True, user=4245, group=4244, extra_groups=[])
        about = place.stat()
        assert (about.st_uid, about.st_gid) == (4245, 4244)
        assert stat.S_IMODE(about.st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"domain":"mesh"}', '{"domain":"m","roots":[]}'])
def test_half_a_state_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / ca_files.STATE).write_text(text)
    with pytest.raises(ValueError, match=ca_files.STATE):
        ca_files.made(str(tmp_path), "", NOW)
