"""The memory budget: what may be asked for, and the limits of processes, cgroups and jobs it keeps to."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
import runs
from machines import Machine

import ntkspec
import ntkspec.analyze
from ntkspec.errors import UsageError
from ntkspec.machine.memory import (
    GIB,
    LIBRARIES,
    PROCESSES_HERE,
    available_bytes,
    budget_bytes,
    capacity_bytes,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("gib", "size"),
    [(4, 4 * GIB), (0.5, GIB // 2), (np.float32(2), 2 * GIB), (np.int64(3), 3 * GIB),
     (np.float16(4), 4 * GIB),
     (Fraction(1, 4), GIB // 4), (1e-300, 0), (2**32, 2**62)],
)  # fmt: skip
def test_sizes(gib, size):
    assert budget_bytes(gib) == size


@pytest.mark.parametrize(
    "gib",
    [0, -1, -0.0, float("nan"), float("inf"), -float("inf"), np.inf, True, False, np.True_, "4", b"4",
     1e300, 10**400, 2**32 + 1, [4], np.array([1.0, 2.0]), 1j, Decimal(4)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_size(gib, tmp_path):
    for ask in (budget_bytes, lambda gib: ntkspec.open_run(tmp_path / "absent.h5", memory=gib)):
        with pytest.raises(UsageError, match="memory: expected a positive number of GiB") as refused:
            ask(gib)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", ["analyze", "validate"])
@pytest.mark.parametrize("gib", ["1e300", "1e-320"])
def test_sizes_on_the_command_line(command, gib, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runs.write_run(tmp_path / "run.h5")
    main = __import__(f"ntkspec.{command}", fromlist=["main"]).main
    assert main(["run.h5", "--memory", gib]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --memory: " if gib == "1e300" else "error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_count(limit):
    """In a child: 1 GiB more than what it has mapped, less what is kept for libraries."""
    code = (
        "import resource, sys\nfrom ntkspec.machine import memory\n"
        f"name, page = {limit!r}, resource.getpagesize()\n"
        "field = {'RLIMIT_AS': 0, 'RLIMIT_DATA': 5}[name]\n"
        "mapped = int(open('/proc/self/statm').read().split()[field]) * page\n"
        "hard = resource.getrlimit(getattr(resource, name))[1]\n"
        "resource.setrlimit(getattr(resource, name), (mapped + 2**30, hard))\n"
        "print(memory.available_bytes())\n"
        "resource.setrlimit(getattr(resource, name), (mapped, hard))\n"
        "print(memory.available_bytes())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left, none = map(int, done.stdout.split())
    assert 2**30 - LIBRARIES[limit] - 2**24 < left <= 2**30 - LIBRARIES[limit]
    assert none == 0


# -- limits of cgroups


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_cgroup_counts(version, machine):
    """Of a process's own and those around it; pages that are only cached are free."""
    machine.join(version, "/job/step", {"sys": "/"})
    machine.limit_memory(version, "sys/job/step", 9 * GIB, GIB)
    machine.limit_memory(version, "sys/job", 5 * GIB, 3 * GIB, cached=GIB)
    machine.limit_memory(version, "sys", {1: 2**63 - 4096, 2: "max"}[version], 50 * GIB)
    machine.limit_memory(version, "sys/job/other", GIB, 0)
    assert available_bytes() == 3 * GIB
    assert capacity_bytes() == 5 * GIB
    assert budget_bytes() == int(0.8 * 3 * GIB)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("path", "mounts", "shown"),
    [
        ("/", {"sys": "/"}, "sys"),  # in a namespace of its own
        ("/step", {"sys": "/"}, "sys/step"),
        ("/docker/17", {"sys": "/docker/17"}, "sys"),  # a mount of a part of the tree, without a namespace
        ("/docker/17/step", {"sys": "/docker/17"}, "sys/step"),
        ("/../x", {"sys": "/.."}, "sys/x"),  # outside the namespace, in which the mount was not made
        ("/../x", {"sys": "/"}, "sys"),
        ("/", {"sys": "/../.."}, "sys"),
        ("/gone", {"sys": "/"}, "sys"),  # no folder any more
        ("/a", {"other": "/b", "sys": "/a"}, "sys"),  # somebody else's container
        ("/a b", {"sys\\040here": "/a\\040b"}, "sys here"),
        ("/pods/a:cri-containerd:17", {"sys": "/"}, "sys/pods/a:cri-containerd:17"),
        ("/a", {"here": "/", "there": "/"}, "there/a"),
    ],
)
def test_cgroups_of_containers(version, path, mounts, shown, machine):
    machine.join(version, path, mounts)
    machine.limit_memory(version, shown, 5 * GIB, 2 * GIB)
    machine.limit_memory(version, "other", GIB, 0)
    machine.limit_memory(version, "x", GIB, 0)
    assert available_bytes() == 3 * GIB
    assert capacity_bytes() == 5 * GIB


def test_a_cgroup_of_version_2_is_slowed_down_above_its_high_mark(machine):
    machine.join(2, "/job", {"sys": "/"})
    machine.limit_memory(2, "sys/job", 9 * GIB, GIB)
    machine.write("sys/job/memory.high", f"{7 * GIB}\n")
    assert (available_bytes(), capacity_bytes()) == (6 * GIB, 7 * GIB)


def test_without_limits_what_is_free_counts(machine):
    assert (available_bytes(), capacity_bytes()) == (48 * GIB, 64 * GIB)
    machine.join(2, "/", {"sys": "/"})
    machine.limit_memory(2, "sys", 60 * GIB, 0)
    assert (available_bytes(), capacity_bytes()) == (48 * GIB, 60 * GIB)


def test_the_machine_of_these_tests_has_what_psutil_says(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert 0 < capacity_bytes() <= psutil.virtual_memory().total
    assert 0 < available_bytes() <= capacity_bytes()


# -- limits of SLURM


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({"MEM_PER_NODE": "2048"}, 2 * GIB),
        ({"MEM_PER_NODE": "3145728K"}, 3 * GIB),
        ({"MEM_PER_NODE": "2048m"}, 2 * GIB),
        ({"MEM_PER_NODE": "7G"}, 7 * GIB),
        ({"MEM_PER_NODE": "1T"}, 1024 * GIB),
        ({"MEM_PER_CPU": "512", "CPUS_ON_NODE": "8"}, 4 * GIB),
        ({"MEM_PER_GPU": "10G", "GPUS_ON_NODE": "2"}, 20 * GIB),
        ({"MEM_PER_NODE": "9G", "MEM_PER_CPU": "1G", "CPUS_ON_NODE": "8"}, 8 * GIB),
    ],
    ids=str,
)
def test_the_limits_of_a_slurm_job_count(variables, limit, machine, monkeypatch):
    """Less what this process has resident, 1 GiB."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert (available_bytes(), capacity_bytes()) == (48 * GIB, 64 * GIB)  # in no job
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert available_bytes() == min(limit - GIB, 48 * GIB)
    assert capacity_bytes() == min(limit, 64 * GIB)


@pytest.mark.parametrize(
    "variables",
    [
        {"MEM_PER_NODE": "0"},  # the whole node
        *({"MEM_PER_NODE": value} for value in ("", "-1", "much", "1.5", "4X", "4 GB", "²", "9" * 5000)),
        {"MEM_PER_CPU": "512"},
        {"MEM_PER_CPU": "512", "CPUS_ON_NODE": "4(x2)"},
        {"MEM_PER_GPU": "512", "GPUS_ON_NODE": "0"},
    ],
    ids=lambda variables: str(variables)[:40],
)
def test_what_is_no_limit_of_slurm(variables, machine, monkeypatch):
    for name, value in {"JOB_ID": "17", **variables}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert (available_bytes(), capacity_bytes()) == (48 * GIB, 64 * GIB)


def test_a_process_above_the_limit_has_nothing_left(machine, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    assert available_bytes() == 0
    assert budget_bytes(4) == 4 * GIB  # as it was asked for


# -- shares


@pytest.mark.parametrize(
    ("processes", "left"), [("1", 48), ("2", 31), ("4", 15), ("007", 64 / 7 - 1), ("64", 0), ("9" * 18, 0)]
)
def test_processes_share_the_machine(processes, left, machine, monkeypatch):
    """Less what this one has resident, 1 GiB; and no more than is free."""
    monkeypatch.setenv(PROCESSES_HERE, processes)
    assert available_bytes() == int(left * GIB)
    assert capacity_bytes() == 64 * GIB


def test_processes_share_the_tightest_limit(machine, monkeypatch):
    monkeypatch.setenv(PROCESSES_HERE, "4")
    machine.join(2, "/job", {"sys": "/"})
    machine.limit_memory(2, "sys/job", 40 * GIB, 4 * GIB)
    assert available_bytes() == 9 * GIB
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "32G")
    assert available_bytes() == 7 * GIB
    machine.limit_memory(2, "sys/job", 40 * GIB, 38 * GIB)  # the others took more than theirs
    assert available_bytes() == 2 * GIB


@pytest.mark.parametrize("processes", ["", "0", "-2", "+2", "1.0", "two", "²", "9" * 5000])
def test_no_number_of_processes(processes, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(PROCESSES_HERE, processes)
    runs.write_run(tmp_path / "run.h5")
    words = [str(tmp_path / "run.h5"), "-o", str(tmp_path / "report"), "-q", "--backend", "cpu"]
    assert ntkspec.analyze.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {PROCESSES_HERE}: expected a whole number, 1 or more: ")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    assert budget_bytes(4) == 4 * GIB


# -- when it runs out


def test_too_little_address_space_is_one_line(tmp_path):
    """As `ulimit -v` sets it: libraries fail to load, or arrays to be made."""
    runs.write_run(tmp_path / "run.h5")
    line = f"ulimit -v 300000; {sys.executable} -m ntkspec.analyze run.h5 -q --memory 4"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: out of memory; ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in Path(tmp_path).iterdir()] == ["run.h5"]
