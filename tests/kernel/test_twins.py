"""What compares a compiled module with its source has two different things to compare."""

import sys

import pytest

import proxy
import proxy.kernel.chunks
from tests.kernel.twins import plain, twin


@pytest.mark.parametrize("name", ["proxy.kernel.chunks", "proxy.http.head"])
def test_a_plain_module_is_a_source(name: str) -> None:
    before = list(sys.meta_path), list(sys.path_hooks)
    for _ in range(2):
        assert str(plain(name).__file__).endswith(".py")
    assert (sys.meta_path, sys.path_hooks) == before
    assert sys.modules["proxy"] is proxy


def test_the_twin_is_a_source_and_the_usual_one_is_what_runs() -> None:
    assert str(twin("chunks").__file__).endswith("chunks.py")
    is_source = str(proxy.kernel.chunks.__file__).endswith(".py")
    assert is_source == bool(proxy.WHY_PLAIN)
