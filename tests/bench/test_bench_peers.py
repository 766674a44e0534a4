"""The peers' configurations: complete, and untraced where they say so."""

from pathlib import Path

import pytest

from benchmarks import peers, workload

VALUES = {"PORT": "1", "ADMIN": "2", "BACKEND": "3", "SINK": "4"}


@pytest.mark.parametrize("target", peers.TARGETS, ids=lambda t: t.name)
def test_every_blank_is_filled_in(target: peers.Target, tmp_path: Path) -> None:
    command, env = peers.prepare(target, {**VALUES, "DIR": str(tmp_path)})
    texts = [*command, *env.values(), *(f.read_text() for f in tmp_path.iterdir())]
    assert len(list(tmp_path.iterdir())) == len(target.files)
    assert not [text for text in texts if "@PORT@" in text or "@BACKEND@" in text]


@pytest.mark.parametrize("name", ["envoy", "traefik", "caddy"])
def test_only_the_traced_mode_knows_the_sink(name: str, tmp_path: Path) -> None:
    found = {t.name: t for t in peers.TARGETS}
    for target in (found[name], found[f"{name}-traced"]):
        peers.prepare(target, {**VALUES, "DIR": str(tmp_path)})
        file = tmp_path / next(iter(target.files))
        assert ("BEGIN traced" in file.read_text()) == target.traced


def test_the_workload_is_what_the_table_says() -> None:
    head = workload.request("0" * 32)
    assert head.count(b"\r\n") == 13 + 2  # request line, fields, blank line
    assert len(workload.BODY) == 901


def test_a_tenth_of_the_trace_ids_is_sampled_at_a_ratio_of_a_tenth() -> None:
    ids = workload.trace_ids(1000)
    assert len(set(ids)) == 1000
    assert all(len(i) == 32 for i in ids)
    assert sum(int(i[-14:], 16) >= 2**56 * 0.9 for i in ids) == 100
