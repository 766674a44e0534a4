"""What a reader of the table relies on: medians, ratios, verdicts, and prose that stays."""

import dataclasses
import json

import pytest

from benchmarks import report
from benchmarks.run import Round

ONE = Round(
    target="nginx",
    number=1,
    requests=1000,
    rate=50_000.0,
    errors=0,
    cpu=20e-6,
    busy=1.0,
    p50=0.001,
    p99=0.002,
    rss=20_000_000,
    pss=10_000_000,
    server=0.0,
    client=0.0,
    logs=0.0,
    lossy=False,
)


def rounds(target: str, *cpus: float, **more: float) -> list[Round]:
    return [dataclasses.replace(ONE, target=target, cpu=cpu, **more) for cpu in cpus]


def test_medians_ignore_the_one_bad_round() -> None:
    found = report.medians(rounds("nginx", 20e-6, 90e-6, 21e-6))
    assert found["nginx"]["cpu"] == 21e-6
    assert (found["nginx"]["cpu_low"], found["nginx"]["cpu_high"]) == (20e-6, 90e-6)
    assert found["nginx"]["rounds"] == 3


def test_ratios_need_both_sides() -> None:
    found = report.medians([*rounds("nginx", 20e-6), *rounds("spangate-100", 50e-6)])
    assert report.ratio(found, "spangate-100", "nginx") == pytest.approx(2.5)
    assert report.ratio(found, "spangate-100", "envoy-traced") is None


@pytest.mark.parametrize(("ours", "verdict"), [(29e-6, "met"), (31e-6, "missed")])
def test_budgets_say_what_was_met(ours: float, verdict: str) -> None:
    found = report.medians([*rounds("nginx", 20e-6), *rounds("spangate-100", ours)])
    header, row = report.budget_rows(found)
    assert row[-1] == verdict
    assert len(header) == len(row)


def test_shares_are_told_of_our_own_processes_alone() -> None:
    ours = rounds("spangate-100", 2e-5, worker=1.8e-5, hub=1e-7, collector=7e-7)
    header, *found = report.share_rows(report.medians([*rounds("nginx", 20e-6), *ours]))
    assert found == [["spangate-100", "18.00", "0.10", "0.70"]]
    assert len(header) == 4


def test_lost_spans_and_errors_are_seen_in_the_table() -> None:
    made = report.medians(rounds("envoy-traced", 1e-4, server=0.5, client=0.5, lossy=1, errors=3))
    row = " ".join(report.rows(made)[1])
    assert "0.50 + 0.50 LOSSY ERRORS" in row


def test_the_page_keeps_its_prose() -> None:
    begin, end = report.BEGIN.format("run"), report.END.format("run")
    page = f"# Title\n\nbefore\n\n{begin}\n\nold\n\n{end}\n\nafter\n"
    made = report.between(page, "new")
    assert made == f"# Title\n\nbefore\n\n{begin}\n\nnew\n\n{end}\n\nafter\n"
    assert report.between(made, "new") == made


def test_each_benchmark_has_a_place_of_its_own_on_the_page() -> None:
    page = report.between(report.between("# Title\n", "one", "scale"), "two", "shapes")
    assert report.between(page, "three", "scale") == page.replace("one", "three")


def test_a_page_without_markers_gets_them() -> None:
    made = report.between("# Title\n", "new")
    assert made.startswith("# Title\n")
    assert report.between(made, "newer") == made.replace("new", "newer")


def test_a_result_survives_json_and_makes_a_page() -> None:
    made = report.result(rounds("nginx", 20e-6, 22e-6), ["skipped caddy: caddy is not here"], 4)
    again = json.loads(json.dumps(made))
    page = report.markdown(again)
    assert "| nginx | 50,000 | 21.0 | 20–22 | 1.00 |" in page
    assert "skipped caddy" in page


def test_older_results_are_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    first, second = report.write_json({"a": 1}, "abc"), report.write_json({"a": 2}, "abc+")
    assert first != second
    assert json.loads(first.read_text()) == {"a": 1}
