"""Cores that a process may use, from texts as Linux writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.cores import cores, files, usable_cores

V2 = "/sys/fs/cgroup"
V1 = "/sys/fs/cgroup/cpu,cpuacct"


def v1(quota: str, period: str = "100000\n", group: str = "") -> dict[str, str]:
    return {
        f"{V1}{group}/cpu.cfs_quota_us": quota,
        f"{V1}{group}/cpu.cfs_period_us": period,
    }


# affinity, /proc/self/cgroup, files -> cores
CASES: dict[str, tuple[int, str, dict[str, str], int]] = {
    "no control groups": (4, "", {}, 4),
    "no limit": (4, "0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, 4),
    "two cores": (8, "0::/\n", {f"{V2}/cpu.max": "200000 100000\n"}, 2),
    "one and a half are two": (8, "0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 2),
    "a tenth is one": (8, "0::/\n", {f"{V2}/cpu.max": "10000 100000\n"}, 1),
    "another period": (8, "0::/\n", {f"{V2}/cpu.max": "150000 50000\n"}, 3),
    "more than there are": (2, "0::/\n", {f"{V2}/cpu.max": "1600000 100000\n"}, 2),
    "no period": (8, "0::/\n", {f"{V2}/cpu.max": "300000\n"}, 3),
    "a group of a host": (
        8,
        "0::/system.slice/spangate.service\n",
        {f"{V2}/system.slice/spangate.service/cpu.max": "300000 100000\n"},
        3,
    ),
    "a group above": (
        8,
        "0::/kubepods.slice/pod1/c\n",
        {
            f"{V2}/kubepods.slice/pod1/c/cpu.max": "max 100000\n",
            f"{V2}/kubepods.slice/pod1/cpu.max": "200000 100000\n",
            f"{V2}/kubepods.slice/cpu.max": "700000 100000\n",
        },
        2,
    ),
    "version 1": (8, "4:cpu,cpuacct:/\n3:memory:/\n", v1("250000\n"), 3),
    "version 1 without limit": (8, "4:cpu,cpuacct:/\n", v1("-1\n"), 8),
    "version 1 in a container, whose path is the host's": (
        8,
        "4:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/\n0::/\n",
        v1("50000\n"),
        1,
    ),
    "version 1 of another group": (8, "4:cpu,cpuacct:/a\n", v1("100000\n", group="/a"), 1),
    "cpuset and cpuacct are no quotas": (8, "4:cpuacct:/\n3:cpuset:/\n", v1("100000\n"), 8),
    "nonsense": (8, "0::/\nx\n::::\n", {f"{V2}/cpu.max": "lots of them"}, 8),
    "a period of nothing": (8, "0::/\n", {f"{V2}/cpu.max": "100000 0"}, 8),
}


@pytest.mark.parametrize(("affinity", "membership", "there", "expected"), CASES.values(), ids=CASES)
def test_quotas(affinity: int, membership: str, there: dict[str, str], expected: int) -> None:
    texts = {path: there[path] for path in files(membership) if path in there}
    assert cores(affinity, texts) == expected


@given(st.text(), st.dictionaries(st.sampled_from([f"{V2}/cpu.max", *v1("")]), st.text()))
def test_whatever_the_files_say_there_is_a_worker(membership: str, texts: dict[str, str]) -> None:
    files(membership)
    assert 1 <= cores(3, texts) <= 3


def test_of_this_machine() -> None:
    assert usable_cores() >= 1
