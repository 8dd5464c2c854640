"""Any jobs in workers, any results beside run files: what the study and other populations stand on."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import needs
import pytest

from ntkspec.cluster.workers import Cluster
from ntkspec.display import format_seconds
from ntkspec.errors import RunFileError, UsageError
from ntkspec.population import made_by
from ntkspec.population.kept import ResultKind
from ntkspec.population.workers import in_workers
from ntkspec.report.from_json import run_from_json
from ntkspec.report.to_json import run_to_json
from ntkspec.report.tree import Node
from ntkspec.runs.analysis import analyze_run

ONE = Cluster(workers=1, threads=1)
GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def half(number):
    """A job: of odd numbers it fails, of 13 it kills its worker."""
    if number == 13:
        os._exit(1)
    if number % 2:
        raise RunFileError(str(number), expected="an even number", got="an odd one", remedy="add one")
    return f"{number // 2} is half of it"


@needs.dask
def test_jobs_that_fail_do_not_stop_the_others():
    said = []
    failures = in_workers(half, [2, 3, 4, 5], ONE, said.append)
    assert sorted((each.job, each.error.where) for each in failures) == [(3, "3"), (5, "5")]
    assert all(isinstance(each.error, RunFileError) for each in failures)
    assert sorted(line.partition("] ")[2] for line in said) == [
        "1 is half of it",
        "2 is half of it",
        "failed: 3: expected an even number, got an odd one; add one",
        "failed: 5: expected an even number, got an odd one; add one",
    ]
    assert said[-1].startswith("[4/4, ")


def test_how_long_all_may_take_is_said_after_the_first(monkeypatch):
    """By two workers that do the jobs in turn, each in a minute; the first fails."""
    said, clock = [], SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)

    def submit(work, job):
        clock.now += 60
        future = Future()
        try:
            future.set_result(work(job))
        except RunFileError as error:
            future.set_exception(error)
        return future

    workers = SimpleNamespace(
        executor=SimpleNamespace(submit=submit), count=2, ahead=lambda: 1, check=lambda underway: None
    )
    cluster = SimpleNamespace(start=lambda: contextlib.nullcontext(workers))
    monkeypatch.setattr("ntkspec.population.workers.time", clock)
    in_workers(half, [3, 2, 4, 6], cluster, said.append, networks=lambda number: 10 * number)
    assert said == [
        "[1/4, 1.0 min] failed: 3: expected an even number, got an odd one; add one",
        "[2/4, 2.0 min] 1 is half of it",
        f"150 networks, about {format_seconds(120 * 150 / (2 * 20))}",
        "[3/4, 3.0 min] 2 is half of it",
        "[4/4, 4.0 min] 3 is half of it",
    ]
    said.clear()
    in_workers(half, [2], cluster, said.append, networks=lambda number: 10)
    assert len(said) == 1


@needs.dask
def test_a_job_that_kills_its_workers_is_one_that_failed():
    import dask

    said = []
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):  # one worker, not four
        (failure,) = in_workers(half, [13, 4], ONE, said.append)
    assert failure.job == 13
    assert str(failure.error).startswith("a worker: expected to finish this, got the death of every worker")
    assert sorted(line.partition("] ")[2][:12] for line in said) == ["2 is half of", "failed: a wo"]


@needs.dask
def test_what_a_job_did_not_foresee_ends_all():
    with pytest.raises(TypeError):
        in_workers(half, ["two"], ONE, print)


REPORTS = ResultKind(
    name="run",
    title="a report",
    version=1,
    make=analyze_run,
    to_tree=run_to_json,
    from_tree=lambda tree: run_from_json(Node(tree, "kept")),
    belongs=lambda report, path: Path(report.path) == path,
)


def test_any_result_is_kept_beside_its_run(tmp_path):
    """Whole reports here; outcomes of the study are in tests/paper."""
    (tmp_path / "one").mkdir()
    path = tmp_path / "one" / "mpe.h5"
    shutil.copy(GOLDEN / "mpe.h5", path)
    assert REPORTS.find(path) is None
    made = REPORTS.find_or_make(path)
    assert run_to_json(REPORTS.find(path)) == run_to_json(made)
    assert sorted(each.name for each in path.parent.iterdir()) == ["mpe.h5", "mpe.json"]
    path.unlink()
    assert [run_to_json(each) for each in REPORTS.all_in(tmp_path)] == [run_to_json(made)]
    kept = json.loads(path.with_suffix(".json").read_text())
    kept["run"]["snapshots"][0]["spectra"]["total"]["error"].pop()  # a `ReportFileError` when it is read
    path.with_suffix(".json").write_text(json.dumps(kept))
    assert REPORTS.find(path) is None
    path.with_suffix(".json").write_text(json.dumps(kept | {"version": 0}))
    with pytest.raises(UsageError, match=r"mpe\.json: expected a report of version 1, or its run file"):
        REPORTS.all_in(tmp_path)


def test_the_room_loads_neither_torch_nor_matplotlib():
    code = (
        "import importlib, pkgutil, sys, ntkspec.population as room\n"
        "for each in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "    importlib.import_module(each.name)\n"
        "heavy = {'torch', 'matplotlib', 'cupy'} & set(sys.modules)\n"
        "print(*heavy, 'ntkspec.population.jobs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@needs.git
def test_a_copy_in_somebody_elses_repository_states_no_commit(tmp_path, monkeypatch):
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=GOLDEN, capture_output=True, text=True, check=False
    )
    assert made_by.made_by()["commit"] == (head.stdout.strip() or None)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", tmp_path]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "theirs"], check=True)
    monkeypatch.setattr(made_by, "HERE", tmp_path)
    stated = made_by.made_by.__wrapped__()
    assert (stated["commit"], stated["uncommitted_changes"]) == (None, False)
