"""All ways to write a name that servers take for the same."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.access.spellings import spellings


def test_both_ways_at_each_dash() -> None:
    assert spellings([b"X-User-Id"]) == {b"x-user-id", b"x_user-id", b"x-user_id", b"x_user_id"}
    assert spellings([b"user"]) == {b"user"} and spellings([]) == frozenset()
    assert spellings([b"x_a"]) == {b"x-a", b"x_a"}


@given(st.text("ab-_", max_size=9))
def test_each_is_found_from_each(name: str) -> None:
    all_of_them = spellings([name.encode()])
    assert name.encode() in all_of_them
    assert all(spellings([other]) == all_of_them for other in all_of_them)


def test_many_dashes_do_not_take_for_ever() -> None:
    found = spellings([b"x" + b"-x" * 60])
    assert len(found) == 512 and b"x" + b"_x" * 60 in found
