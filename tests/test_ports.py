from __future__ import annotations

import subprocess
import sys

from tests.ports import free_port

_MANY = "from tests.ports import free_port; print(*(free_port() for _ in range(50)))"


def test_no_port_is_given_twice_whoever_asks() -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", _MANY], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    given = [free_port() for _ in range(50)]
    for process in asking:
        given += map(int, process.communicate()[0].split())
    assert len(set(given)) == len(given) == 200
