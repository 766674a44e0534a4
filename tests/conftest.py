"""Settings of Hypothesis for all tests, and a check that they leave no process behind.

A busy machine is no mistake of a test's: nothing here has a deadline, and drawing may be slow. In
CI the examples are the same each time, so that it tells of the change and not of luck; everywhere
else they are new ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import processes

settings.register_profile(
    "spangate",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("spangate")


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fails the session's last test when something that the tests have started still runs.

    What is only ending is waited for: a killed hub's workers see it by themselves.
    """
    processes.adopt_orphans()
    yield
    left = processes.wait_for_end(processes.descendants(os.getpid()))
    told = [f"{pid}: {processes.command(pid)}" for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not told, "still running after the tests: " + "; ".join(told)
