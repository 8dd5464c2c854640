"""Kernels computed by workers: the file of one process to the bit, in whatever order, after whatever end."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import cases
import h5py
import numpy as np
import pytest
import runs
from standins import stand_in_gpu

import ntkspec
from ntkspec.analyze import analyze_runs
from ntkspec.errors import (
    ClusterError,
    MemoryBudgetError,
    NtkspecError,
    OutputError,
    RunFileError,
    UsageError,
)
from ntkspec.kernel import files
from ntkspec.report.places import names_in_file
from ntkspec.runs.settings import RunSettings, drawn
from ntkspec.runs.shared_kernels import compute_square, write_kernels_with
from ntkspec.spectral.ablation import sums_of_blocks

CPU = RunSettings("end", backend="cpu")
JOBS = 10  # of N = 100 rows in squares of 32, tiles of 16


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Here alone: workers hear of them."""
    monkeypatch.setattr("ntkspec.backend.cpu.CpuBackend.tile", 16)


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return runs.write_run(tmp_path_factory.mktemp("runs") / "a.h5", cases.mixed(100))


@pytest.fixture(scope="module")
def uneven_run_file(tmp_path_factory):
    """Of all kinds of blocks; 36 samples are three tiles, the last of them smaller."""
    return runs.write_run(tmp_path_factory.mktemp("runs") / "a.h5", cases.uneven(36), steps=(10,))


class Here(Executor):
    """Does each job when it is submitted, and counts them."""

    def __init__(self, work=compute_square):
        self.work, self.jobs = work, []

    def submit(self, function, job):
        assert function is compute_square
        self.jobs.append(job)
        future = Future()
        try:
            future.set_result(self.work(job))
        except NtkspecError as error:
            future.set_exception(error)
        return future


class Backwards(Here):
    """Does the jobs last to first, when all are there."""

    def submit(self, function, job):
        self.jobs.append(job)
        self.futures = [*getattr(self, "futures", []), Future()]
        if len(self.jobs) == JOBS:
            for one, future in reversed(list(zip(self.jobs, self.futures, strict=True))):
                future.set_result(function(one))
        return self.futures[-1]


class Mortal(ProcessPoolExecutor):
    """Processes of which one dies at its fourth job."""

    jobs = 0

    def submit(self, function, job):
        self.jobs += 1
        return super().submit(os._exit, 1) if self.jobs == 4 else super().submit(function, job)


def interrupt(_):
    raise KeyboardInterrupt


def shared(run_file, folder, settings=CPU, executor=None, **options):
    (path,) = write_kernels_with(
        executor or Here(), run_file, folder, settings, **{"side": 32, "at_once": JOBS} | options
    )
    return path


def alone(run_file, path, settings=CPU, **options):
    """The same file by `write_kernels`."""
    with ntkspec.open_run(run_file) as run:
        jacobian = drawn(run.snapshot(settings.snapshot).jacobian, settings)
        parts = names_in_file(sums_of_blocks(jacobian, settings.drop))
        how = {"precision": settings.precision, "backend": settings.backend}
        return ntkspec.write_kernels(path, parts, settings.outputs, **how, **options)


def contents(path):
    """Everything that a file of kernels holds, to the bit."""
    with h5py.File(path, "r") as file:
        assert len(file["kernels"])
        kernels = {name: file["kernels"][name][...].tobytes() for name in file["kernels"]}
        return dict(file.attrs), kernels, file["done"][...].tobytes()


def test_kernels_out_of_range_are_left_out(tmp_path):
    run_file = runs.write_run(tmp_path / "a.h5", cases.tiny(100, "grid"))
    with h5py.File(shared(run_file, tmp_path / "kernels")) as file:
        assert sorted(file["kernels"]) == ["no_grid", "total"]
    analyze_runs([run_file], snapshot="end", backend="cpu", kernels=tmp_path / "kernels")
    run_file = runs.write_run(tmp_path / "b.h5", cases.tiny(100, "grid", "network"))
    with pytest.raises(UsageError, match=r"b\.h5, snapshot end: kernel total: expected entries between"):
        shared(run_file, tmp_path / "kernels")
    assert os.listdir(tmp_path / "kernels") == ["a-end.h5"]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("outputs", ["trace", "full", 1])
def test_any_workers_and_any_squares_give_the_same_file(tmp_path, uneven_run_file, outputs, precision):
    settings = replace(CPU, outputs=outputs, precision=precision)
    expected = contents(alone(uneven_run_file, tmp_path / "alone.h5", settings))
    for side, workers in ((16, 3), (30, 1)):
        with ThreadPoolExecutor(workers) as executor:
            path = shared(uneven_run_file, tmp_path / str(side), settings, executor, side=side, at_once=3)
        assert contents(path) == expected
        assert os.listdir(path.parent) == [path.name]


def test_some_samples_of_every_snapshot_and_sums_with_names_of_all_kinds(tmp_path):
    run_file = runs.write_run(tmp_path / "a.h5", cases.mixed(60, c=3, dtype=np.float32))
    settings = RunSettings(backend="cpu", samples=41, seed=1, drop=(("level.1", "network"),))
    with ThreadPoolExecutor(2) as executor:
        paths = write_kernels_with(executor, run_file, tmp_path / "new" / "k", settings)
    assert [path.name for path in paths] == ["a-init.h5", "a-end.h5"]
    for path in paths:
        one = replace(settings, snapshot=path.stem.removeprefix("a-"))
        assert contents(path) == contents(alone(run_file, tmp_path / path.name, one))


def test_workers_with_a_device(tmp_path, monkeypatch):
    """A stand-in for one; sparse factors would have CUDA C compiled, which takes seconds."""
    monkeypatch.setattr(type(stand_in_gpu(monkeypatch)), "tile", 16)
    run_file = runs.write_run(tmp_path / "a.h5", cases.mixed(60).only("network"))
    settings = replace(CPU, backend="gpu", outputs="full")
    path = shared(run_file, tmp_path / "k", settings)
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5", settings))
    assert contents(path)[0]["backend"] == "gpu"


def test_jobs_that_end_in_another_order(tmp_path, run_file):
    path = shared(run_file, tmp_path / "k", executor=Backwards())
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))


def test_a_killed_worker_is_one_line_and_its_squares_are_done_again(tmp_path, run_file):
    with Mortal(1, get_context("spawn")) as executor:
        with pytest.raises(
            ClusterError, match="a process of the pool: expected to stay while there are jobs, got its end"
        ):
            shared(run_file, tmp_path / "k", executor=executor, at_once=1)
    assert os.listdir(tmp_path / "k") == ["a-end.h5.part", "a-end.h5.part.tiles"]
    again = Here()
    path = shared(run_file, tmp_path / "k", executor=again)
    assert len(again.jobs) == JOBS - 3
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))
    assert os.listdir(tmp_path / "k") == ["a-end.h5"]


@pytest.fixture
def left(tmp_path, run_file):
    """What a call left that ended when the first of all squares was merged: the folder of the others."""
    with pytest.raises(KeyboardInterrupt):
        shared(run_file, tmp_path / "k", progress=interrupt)
    folder = tmp_path / "k" / "a-end.h5.part.tiles"
    assert len(os.listdir(folder)) == JOBS - 1
    return folder


@pytest.mark.parametrize("way", ["shared", "alone"])
def test_squares_that_were_left_are_taken_up(tmp_path, run_file, left, way):
    again, seen = Here(), []
    if way == "shared":
        path = shared(run_file, tmp_path / "k", executor=again, side=16)
    else:
        path = alone(run_file, tmp_path / "k" / "a-end.h5", progress=seen.append)
    assert not again.jobs
    assert not seen
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))
    assert os.listdir(tmp_path / "k") == ["a-end.h5"]


def test_squares_that_are_damaged_unfinished_or_of_others_are_done_again(tmp_path, run_file, left):
    empty, cut_off, changed, of_others, unfinished, *_ = sorted(left.iterdir())
    os.truncate(empty, 0)
    os.truncate(cut_off, cut_off.stat().st_size - 1)
    numbers = bytearray(changed.read_bytes())
    numbers[100] ^= 1
    changed.write_bytes(numbers)
    of_others.rename(of_others.with_name(of_others.name[:-16] + 16 * "0"))
    unfinished.rename(unfinished.with_name(f".{unfinished.name}.0123abcd.part"))
    again = Here()
    path = shared(run_file, tmp_path / "k", executor=again)
    assert len(again.jobs) == 5
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))
    assert os.listdir(tmp_path / "k") == ["a-end.h5"]


def test_a_file_that_is_no_square_is_left_alone(tmp_path, run_file, left):
    (left / "notes").write_text("mine")
    again = Here()
    with pytest.raises(OutputError, match=r"notes: .* got another file"):
        shared(run_file, tmp_path / "k", executor=again)
    assert not again.jobs
    assert (left / "notes").read_text() == "mine"
    assert len(os.listdir(left)) == JOBS


def test_a_run_file_that_is_replaced_meanwhile(tmp_path, run_file):
    """Its squares would be of two Jacobians; this process holds the old file open and would not notice."""
    path = tmp_path / "a.h5"
    shutil.copy(run_file, path)

    def replaced(job):
        if len(executor.jobs) == 4:
            shutil.copy(run_file, tmp_path / "new.h5")
            os.replace(tmp_path / "new.h5", path)
        return compute_square(job)

    executor = Here(replaced)
    with pytest.raises(RunFileError, match="expected the file of which the kernel was begun"):
        shared(path, tmp_path / "k", executor=executor, at_once=1)
    assert len(executor.jobs) == 4
    assert not (tmp_path / "k" / "a-end.h5").exists()


def test_a_worker_whose_file_does_not_arrive(tmp_path, run_file):
    with pytest.raises(OutputError, match="expected the tiles that a worker wrote, got other bytes, or none"):
        shared(run_file, tmp_path / "k", executor=Here(lambda job: None))


def test_one_process_began_and_workers_continue(tmp_path, run_file, monkeypatch):
    monkeypatch.setattr(files, "SECONDS", 0.0)
    path, seen = tmp_path / "a-end.h5", []

    def stop(share):
        seen.append(share)
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alone(run_file, path, progress=stop)
    workers = Here()
    assert shared(run_file, tmp_path, executor=workers) == path
    assert 0 < len(workers.jobs) < JOBS
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))


def test_workers_began_and_one_process_continues(tmp_path, run_file):
    with pytest.raises(KeyboardInterrupt):
        shared(run_file, tmp_path, at_once=1, progress=interrupt)
    seen = []
    path = alone(run_file, tmp_path / "a-end.h5", progress=seen.append)
    assert len(seen) == 28 - 3  # tiles on and below the diagonal, all and of the first square
    assert contents(path) == contents(alone(run_file, tmp_path / "alone.h5"))


def test_a_complete_file_is_kept_and_another_ones_refused(tmp_path, run_file):
    path = alone(run_file, tmp_path / "a-end.h5")
    before, workers = path.stat().st_mtime_ns, Here()
    assert shared(run_file, tmp_path, executor=workers) == path
    with pytest.raises(OutputError, match="of other settings"):
        shared(run_file, tmp_path, replace(CPU, precision="float32"), workers)
    assert path.stat().st_mtime_ns == before
    path.rename(tmp_path / "a-end.h5.part")
    with pytest.raises(OutputError, match="of other settings"):
        shared(run_file, tmp_path, replace(CPU, precision="float32"), workers)
    with (tmp_path / "a-end.h5.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process is at work"):
            shared(run_file, tmp_path, executor=workers)
    assert not workers.jobs


def test_an_analysis_finds_the_file_complete(tmp_path, run_file):
    path = shared(run_file, tmp_path)
    before = path.stat().st_mtime_ns
    analyze_runs([run_file], snapshot="end", method="lanczos", k=1, backend="cpu", kernels=tmp_path)
    assert path.stat().st_mtime_ns == before


def test_something_else_in_the_place_of_the_squares(tmp_path, run_file):
    (tmp_path / "a-end.h5.part.tiles").write_text("mine")
    with pytest.raises(OutputError, match="another file"):
        shared(run_file, tmp_path)
    assert os.listdir(tmp_path) == ["a-end.h5.part.tiles"]


def test_a_worker_with_less_memory_says_so(tmp_path, run_file):
    """And what others computed is kept."""

    def work(job):
        poor = replace(job.source, settings=replace(CPU, memory=5e-5))
        compute_square(replace(job, source=poor) if len(workers.jobs) > 2 else job)

    workers = Here(work)
    with pytest.raises(MemoryBudgetError, match="square of 32 by 32 samples: expected room") as caught:
        shared(run_file, tmp_path, executor=workers, at_once=1)
    assert "\n" not in str(caught.value)
    again = Here()
    shared(run_file, tmp_path, executor=again)
    assert len(again.jobs) == JOBS - 2


def test_a_worker_s_full_disk_is_said_and_leaves_no_half_of_a_square(tmp_path, run_file, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def work(job):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            compute_square(job)

    with pytest.raises(OutputError, match="No space left on device"):
        shared(run_file, tmp_path, executor=Here(work))
    assert os.listdir(tmp_path / "a-end.h5.part.tiles") == []


def test_arguments_that_are_none(tmp_path, run_file):
    for options in ({"at_once": 0}, {"side": 1.5}):
        with pytest.raises(UsageError, match="expected a whole number"):
            shared(run_file, tmp_path / "k", **options)
    with pytest.raises(UsageError, match="snapshot"):
        shared(run_file, tmp_path / "k", RunSettings("none"))
    assert not (tmp_path / "k").exists()
