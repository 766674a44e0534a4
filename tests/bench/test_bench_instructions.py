"""What a check of instructions relies on: the format of callgrind's files, bounds, environments."""

from pathlib import Path

import pytest

from benchmarks import callgrind, features, instructions, sections, shapes

DUMP = """# callgrind format
version: 1
pid: 7
cmd: python -X utf8=1
events: Ir
ob=(1) /usr/bin/python3.11
fl=(1) ???
fn=(1) eval
0 100
cob=(2) /x/site-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so
cfn=(2) on_read
calls=3 0
0 5000
+2 20
fn=(3) dealloc
* 7
ob=(2)
fn=(2)
0 50
cfn=(1)
calls=1 0
* 999
ob=(3) /work/proxy/kernel/scan.cpython-311-x86_64-linux-gnu.so
fn=(4) scan
-1 30

totals: 207
"""


def test_self_cost_is_summed_by_object_and_function(tmp_path: Path) -> None:
    file = tmp_path / "callgrind.7"
    file.write_text(DUMP)
    found = callgrind.profile(file)
    assert found == {
        ("python3.11", "eval"): 120,
        ("python3.11", "dealloc"): 7,
        ("uvloop/loop", "on_read"): 50,
        ("proxy/kernel/scan", "scan"): 30,
    }
    assert sum(found.values()) == callgrind.total(file) == 207
    assert callgrind.objects(found) == {
        "python3.11": 127,
        "uvloop/loop": 50,
        "proxy/kernel/scan": 30,
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "libc"),
        ("/usr/bin/python3.11", "python3.11"),
        ("/a/proxy/http/head.cpython-311-x86_64-linux-gnu.so", "proxy/http/head"),
        ("/proxy/x/proxy/http/head.cpython-314t-aarch64-linux-gnu.so", "proxy/http/head"),
        ("/v/httptools/parser/parser.cpython-311-x86_64-linux-gnu.so", "parser/parser"),
        ("", "?"),
    ],
)
def test_objects_have_short_names(path: str, name: str) -> None:
    assert callgrind.short(path) == name


def test_a_case_may_cost_three_percent_more() -> None:
    kept = {"traced": 100_000, "post": 100_000}
    assert instructions.exceeded({"traced": 102_999, "post": 103_001, "new": 1}, kept) == ["post"]


def test_the_environment_says_who_compiled_the_package() -> None:
    here = instructions.environment()
    assert ("compiler" in here) == (not instructions.WHY_PLAIN)
    assert instructions.BASELINE.exists()


@pytest.mark.parametrize("feature", features.FEATURES, ids=lambda f: f.name)
def test_a_feature_is_a_configuration(feature: features.Feature) -> None:
    from proxy.config.load import loads

    text = feature.text().format(port=1, backend=2, sink=3)
    assert loads(text, "bench.toml", {}).config.route[0].name == "orders"


def test_the_shapes_are_of_one_size_each() -> None:
    for sent in shapes.shapes().values():
        assert len({len(request) for request in sent}) == 1


def test_sections_add_up_to_a_request() -> None:
    found = sections.sections({sections.WHOLE: 90.0, "routing": 20.0, "ring": 5.0}, 100.0)
    assert found.pop("a request") == 100.0
    assert sum(found.values()) == 100.0
    assert found[sections.LOOP] == 10.0
