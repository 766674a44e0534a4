"""`spangate ready`: a health check by its exit code, with the reason for who reads it."""

from __future__ import annotations

import pytest

from .kit import ACTING, HOSTILE, admin, ask, run


def test_it_is_ready() -> None:
    with admin() as told:
        told.answers["/ready"] = (200, "ready\n")
        result = ask(told, "ready")
    assert (result.exit_code, result.output) == (0, "ready\n")


@pytest.mark.parametrize("why", ["starting", "shutting down", "no worker accepts"])
def test_why_it_is_not(why: str) -> None:
    with admin() as told:
        told.answers["/ready"] = (503, f"not ready: {why}\n")
        result = ask(told, "ready")
    assert result.exit_code == 1
    assert f"not ready: {why}" in result.output


@pytest.mark.parametrize("answer", [(200, "<html>hello"), (200, "ready"), (404, "no"), (302, "")])
def test_what_another_server_says_is_not_readiness(answer: tuple[int, str]) -> None:
    with admin() as told:
        told.answers["/ready"] = answer
        assert ask(told, "ready").exit_code == 1


def test_nobody_there_is_not_ready() -> None:
    with admin() as told:
        url = told.url
    result = run("ready", "--admin", url)
    assert result.exit_code == 1 and "no gateway at" in result.output


def test_a_hostile_reason_does_nothing_to_the_terminal() -> None:
    with admin() as told:
        told.answers["/ready"] = (503, f"not ready: {HOSTILE}\n")
        assert not ACTING.search(ask(told, "ready").output)
