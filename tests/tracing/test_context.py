"""A TraceContext is a value: equal by its parts, readable, never a key."""

from __future__ import annotations

import pytest

from . import cases


def test_equal_by_parts() -> None:
    assert cases.context(True) == cases.context(True)
    assert cases.context(True) != cases.context(None)
    assert cases.context(True) != cases.context(True, state=b"a=1")
    assert cases.context(True) != object()


def test_repr_names_the_ids() -> None:
    assert "4bf92f3577b34da6a3ce929d0e0e4736" in repr(cases.context(True))


def test_not_hashable() -> None:
    with pytest.raises(TypeError):
        hash(cases.context(True))
