"""The memory budget: what may be asked for, and the limits of processes and cgroups that it keeps to."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import runs

import ntkspec
from ntkspec import memory
from ntkspec.errors import UsageError
from ntkspec.memory import GIB, LIBRARIES, available_bytes, budget_bytes


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
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_limits_of_the_process_count(limit):
    """In a child: 1 GiB more than what it has mapped, less what is kept for libraries."""
    code = (
        "import resource, sys\nfrom ntkspec import memory\n"
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


@pytest.mark.parametrize("version", [1, 2])
def test_the_limits_of_cgroups_count(version, tmp_path, monkeypatch):
    """The tightest of a process's own cgroup and those around it; pages that are only cached are free."""
    root = tmp_path / "cgroup"
    folder = root / ("memory" if version == 1 else "") / "job" / "step"
    folder.mkdir(parents=True)
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
             2: ("memory.max", "memory.current", "inactive_file")}[version]  # fmt: skip
    for place, limit, used, cached in ((folder, "max", 7, 0), (folder.parent, 5 * 2**20, 3 * 2**20, 2**20)):
        (place / names[0]).write_text(f"{limit}\n")
        (place / names[1]).write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"active_file 99\n{names[2]} {cached}\n")
    membership = tmp_path / "membership"
    membership.write_text(f"4:{'memory,cpu' if version == 1 else ''}:/job/step\n")
    lines = memory._lines
    monkeypatch.setattr(memory, "_CGROUPS", str(root))
    monkeypatch.setattr(
        memory, "_lines", lambda path: lines(membership if path == "/proc/self/cgroup" else path)
    )
    assert list(memory._left_to_cgroups()) == [3 * 2**20]
    assert available_bytes() == 3 * 2**20


def test_too_little_address_space_is_one_line(tmp_path):
    """As `ulimit -v` sets it: libraries fail to load, or arrays to be made."""
    runs.write_run(tmp_path / "run.h5")
    line = f"ulimit -v 300000; {sys.executable} -m ntkspec.analyze run.h5 -q --memory 4"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: out of memory; ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in Path(tmp_path).iterdir()] == ["run.h5"]
