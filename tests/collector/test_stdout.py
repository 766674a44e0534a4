"""Access lines on a pipe: written by a thread, never waited for."""

from __future__ import annotations

import os

from proxy.collector.stdout import MOST_UNWRITTEN, Stdout

LINE = b"x" * 1023 + b"\n"


def test_lines_arrive_in_order() -> None:
    ours, theirs = os.pipe()
    with open(ours, "rb") as reader, open(theirs, "wb") as writer:
        stdout = Stdout(writer)
        for number in range(50):
            stdout.offer(b"%d\n" % number)
        stdout.close(10)
        assert [int(reader.readline()) for _ in range(50)] == list(range(50))
        assert stdout.dropped == 0


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time() -> None:
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as reader, open(theirs, "wb", buffering=0) as writer:
        stdout = Stdout(writer)
        offered = MOST_UNWRITTEN // len(LINE) + 1000
        for _ in range(offered):
            stdout.offer(LINE)  # the pipe holds 64 KiB: waiting for it would never end
        assert 0 < stdout.dropped <= 1000
        taken = offered - stdout.dropped
        assert sum(len(reader.read(len(LINE))) for _ in range(taken)) == taken * len(LINE)
        stdout.close(10)


def test_a_closed_pipe_is_counted() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    writer = open(theirs, "wb", buffering=0)  # noqa: SIM115 - its end is part of the case
    stdout = Stdout(writer)
    stdout.offer(LINE)
    stdout.close(10)
    writer.close()
    assert stdout.dropped == 1
