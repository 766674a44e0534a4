"""Records of recent telemetry: what was written is read, whatever lies between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.recent_disk import record
from proxy.recent.ring import Stored


def stored(number: int, payload: bytes, signal: str = "traces") -> Stored:
    made = Stored(signal, payload, None, 3, 1_800_000_000_000_000_000 + number)
    made.number = number
    return made


def written(made: Stored) -> bytes:
    return b"".join(record.encode(made))


def facts(made: Stored) -> tuple[str, bytes, int, int, int]:
    return made.signal, made.data, made.items, made.at, made.number


@given(st.lists(st.tuples(st.binary(max_size=200), st.sampled_from(["traces", "logs"]))))
def test_what_was_written_is_read(contents: list[tuple[bytes, str]]) -> None:
    made = [stored(n, payload, signal) for n, (payload, signal) in enumerate(contents, 1)]
    data = b"".join(map(written, made))
    read = list(record.records(data))
    assert [facts(one) for _, one, _ in read if one is not None] == list(map(facts, made))
    assert [end for _, _, end in read][-1:] == ([len(data)] if made else [])


@given(
    st.binary(max_size=300), st.binary(min_size=1, max_size=100), st.binary(min_size=1, max_size=60)
)
def test_records_around_rubbish_are_read(first: bytes, rubbish: bytes, last: bytes) -> None:
    before, after = stored(1, first), stored(2, last)
    data = written(before) + rubbish + written(after)
    read = [facts(one) for _, one, _ in record.records(data) if one is not None]
    assert read == [facts(before), facts(after)]


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_changed_byte_costs_its_record_alone(payload: bytes, data: st.DataObject) -> None:
    whole = written(stored(1, payload))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes((whole[at] ^ 1 << data.draw(st.integers(0, 7)),)) + whole[at + 1 :]
    read = [one for _, one, _ in record.records(changed + written(stored(2, b"next")))]
    assert [facts(one) for one in read if one is not None] == [facts(stored(2, b"next"))]


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_read(data: bytes) -> None:
    ends = [end for _, _, end in record.records(data)]
    assert ends == sorted(ends)
    assert all(end <= len(data) for end in ends)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_what_is_cut_off_is_left_for_later(payload: bytes, data: st.DataObject) -> None:
    whole = written(stored(1, b"whole"))
    other = written(stored(2, payload))
    cut = data.draw(st.integers(0, len(other) - 1))
    read = list(record.records(whole + other[:cut]))
    assert [facts(one) for _, one, _ in read if one is not None] == [facts(stored(1, b"whole"))]


def test_a_file_tells_who_wrote_it() -> None:
    assert record.run_of(record.beginning(77)) == 77
    assert record.run_of(b"SPANGATE-QUEUE 1" + bytes(8)) is None
    assert record.run_of(b"SPANGATE") is None
