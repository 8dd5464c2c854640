"""Cores that a process may use: where it may run, quotas of cgroups, and what SLURM says."""

from __future__ import annotations

import os

import pytest
from machines import Machine

from ntkspec.machine.cores import cores_here


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """One on which this process may run on 12 cores, of more."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4, 16)), raising=False)
    return Machine(tmp_path, monkeypatch)


def limit(machine, version, folder, quota, period=100_000):
    """Let a cgroup take so many microseconds of CPU time in a period."""
    if version == 2:
        machine.write(f"{folder}/cpu.max", f"{quota} {period}\n")
    else:
        machine.write(f"{folder}/cpu.cfs_quota_us", f"{-1 if quota == 'max' else quota}\n")
        machine.write(f"{folder}/cpu.cfs_period_us", f"{period}\n")


def test_without_limits_where_it_may_run(machine, monkeypatch):
    assert cores_here() == 12
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores_here() == os.cpu_count()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("own", "outer", "cores"),
    [
        ("max", "max", 12), (400_000, "max", 4), (400_000, 300_000, 3), ("max", 300_000, 3),
        (250_000, "max", 2), (99_999, "max", 1), (10**9, 10**9, 12), (0, "max", 12),
    ],
)  # fmt: skip
def test_quotas_of_nested_cgroups(version, own, outer, cores, machine):
    """The tightest counts, in whole cores, at least one."""
    machine.join(version, "/job/step", {"sys": "/"})
    limit(machine, version, "sys/job/step", own)
    limit(machine, version, "sys/job", outer)
    limit(machine, version, "sys/other", 100_000)
    assert cores_here() == cores


@pytest.mark.parametrize("version", [1, 2])
def test_the_quota_of_a_container(version, machine):
    machine.join(version, "/docker/17", {"sys": "/docker/17"})
    limit(machine, version, "sys", 125_000, 50_000)
    assert cores_here() == 2


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({"CPUS_ON_NODE": "8"}, 8), ({"CPUS_ON_NODE": "8", "CPUS_PER_TASK": "2"}, 2),
        ({"CPUS_PER_TASK": "6"}, 6), ({"CPUS_ON_NODE": "64"}, 12), ({"CPUS_ON_NODE": "4(x2)"}, 12),
        ({"CPUS_ON_NODE": "0"}, 12), ({"CPUS_ON_NODE": "-3"}, 12), ({"CPUS_PER_TASK": ""}, 12), ({}, 12),
    ],
    ids=str,
)  # fmt: skip
def test_what_slurm_gives_counts_in_a_job(variables, cores, machine, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert cores_here() == 12
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert cores_here() == cores
