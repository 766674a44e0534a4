"""What a proxy adds, beside what nginx adds in the same round."""

from benchmarks import openloop


def rounds(*p99: float) -> list[dict[str, float]]:
    return [{"p50": 1.0, "p90": 2.0, "p99": p, "p999": 9.0, "direct_p99": 1.0} for p in p99]


def test_a_round_that_was_bad_for_both_does_not_count_against_one() -> None:
    found = {"nginx": rounds(100, 5000, 100), "spangate-100": rounds(150, 5020, 140)}
    assert openloop.over_nginx(found) == {"spangate-100": 40}


def test_without_nginx_there_is_nothing_to_compare_with() -> None:
    assert openloop.over_nginx({"spangate-100": rounds(150)}) == {}


def test_the_table_has_both() -> None:
    medians = {"nginx": rounds(100)[0], "spangate-100": rounds(150)[0]}
    rates = dict.fromkeys(medians, 1000.0)
    text = openloop.table(medians, rates, {"spangate-100": 50.0}).splitlines()
    assert [line.count("|") for line in text] == [9] * 4
    assert "| 0.150 | 0.009 | +0.050 | 0.001 |" in text[3]
    assert "| 0.100 | 0.009 |  | 0.001 |" in text[2]
