"""Kernels in a file: whole, resumed after kills to the same bits, never half-written under the final name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time

import cases
import h5py
import numpy as np
import pytest
import runs

import ntkspec
from ntkspec.analyze import analyze_runs, main
from ntkspec.errors import MemoryBudgetError, OutputError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import files as kernel_file
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.dense import gram_sums
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.tiles import Tiling


@pytest.fixture
def sums():
    jac = cases.mixed(50)
    return {"total": jac, "no_grid": jac.without("grid"), "grid": jac.only("grid")}


def kernels_of(path):
    with h5py.File(path, "r") as file:
        assert file["done"][...].sum() == len(file["done"]) * (len(file["done"]) + 1) // 2
        return {name: file["kernels"][name][...] for name in file["kernels"]}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("outputs", cases.MODES)
def test_the_file_holds_what_gram_gives(tmp_path, sums, outputs, precision):
    path = ntkspec.write_kernels(tmp_path / "k.h5", sums, outputs, precision=precision)
    found = kernels_of(path)
    assert list(found) == sorted(sums)
    for name, kernel in gram_sums(sums, outputs, precision=precision).items():
        assert np.array_equal(found[name], kernel), name
    assert os.listdir(tmp_path) == ["k.h5"]


def test_names_that_are_too_long_and_links_that_lead_nowhere(tmp_path, sums):
    (tmp_path / "loop").symlink_to("loop")
    for path, said in (("a" * 300, "File name too long"), ("loop/k.h5", "Too many levels of symbolic links")):
        with pytest.raises(OutputError, match=said):
            ntkspec.write_kernels(tmp_path / path, sums)


def writer(path, sums):
    """A process that writes these kernels, forked to spare it the imports; it has begun."""
    begun, say = os.pipe()
    process = os.fork()
    if process == 0:
        with contextlib.suppress(BaseException):
            ntkspec.write_kernels(path, sums, backend="cpu", progress=lambda share: os.write(say, b"."))
        os._exit(0)
    os.close(say)
    os.read(begun, 1)
    os.close(begun)
    return process


def test_killed_writers_are_continued_to_the_same_bits(tmp_path, monkeypatch):
    """Tiles are small and made safe often, so that kills find the writers at different places."""
    monkeypatch.setattr("ntkspec.backend.cpu.CpuBackend.tile", 16)
    monkeypatch.setattr(kernel_file, "SECONDS", 0.005)
    path, part = tmp_path / "killed.h5", tmp_path / "killed.h5.part"
    jac = cases.mixed(700)
    sums = {"total": jac, "grid": jac.only("grid")}
    whole = ntkspec.write_kernels(tmp_path / "whole.h5", sums, backend="cpu")
    rng, marks = np.random.default_rng(0), []
    for _ in range(12):
        process = writer(path, sums)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        if path.exists():
            break
        with h5py.File(part, "r", locking=False) as file:
            marks.append(int(file["done"][...].sum()))
    assert any(0 < mark < 990 for mark in marks)  # of 44 * 45 / 2 tiles
    assert marks == sorted(marks)
    ntkspec.write_kernels(path, sums, backend="cpu")
    assert not part.exists()
    expected, found = kernels_of(whole), kernels_of(path)
    for name, kernel in expected.items():
        assert kernel.tobytes() == found[name].tobytes(), name


def test_an_error_in_the_middle_is_continued(tmp_path, sums, monkeypatch):
    def stop(share):
        if share > 0.5:
            raise KeyboardInterrupt

    monkeypatch.setattr(kernel_file, "SECONDS", 0.0)
    monkeypatch.setattr("ntkspec.backend.cpu.CpuBackend.tile", 8)
    with pytest.raises(KeyboardInterrupt):
        ntkspec.write_kernels(tmp_path / "k.h5", sums, progress=stop)
    assert os.listdir(tmp_path) == ["k.h5.part"]
    seen = []
    ntkspec.write_kernels(tmp_path / "k.h5", sums, progress=seen.append)
    assert len(seen) < 28
    found = kernels_of(tmp_path / "k.h5")
    for name, kernel in gram_sums(sums, tile=8).items():
        assert np.array_equal(kernel, found[name]), name


def test_a_complete_file_is_kept_and_another_ones_refused(tmp_path, sums):
    path = ntkspec.write_kernels(tmp_path / "k.h5", sums)
    before = path.stat().st_mtime_ns
    assert ntkspec.write_kernels(path, sums).stat().st_mtime_ns == before
    other = {"total": cases.mixed(50, seed=1)}
    with pytest.raises(OutputError, match="kernels of another Jacobian"):
        ntkspec.write_kernels(path, other)
    with pytest.raises(OutputError, match="kernels of another Jacobian"):
        ntkspec.write_kernels(path, sums, precision="float32")
    foreign = tmp_path / "notes.h5"
    foreign.write_text("mine")
    with pytest.raises(OutputError, match="another file"):
        ntkspec.write_kernels(foreign, sums)
    assert foreign.read_text() == "mine"


def test_two_writers_of_one_file(tmp_path, sums):
    with (tmp_path / "k.h5.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process is at work"):
            ntkspec.write_kernels(tmp_path / "k.h5", sums)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, sums, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match="No space left on device"):
        ntkspec.write_kernels(tmp_path / "k.h5", sums)
    assert os.listdir(tmp_path) == []


def test_less_memory_than_the_kernel_needs(tmp_path):
    jac = cases.mixed(300)
    with pytest.raises(MemoryBudgetError):
        ntkspec.gram(jac, memory=0.0006)
    path = ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac}, memory=0.0006)
    kernel = ntkspec.gram(jac)
    assert np.allclose(kernels_of(path)["total"], kernel, rtol=0, atol=1e-13 * kernel.max())


def test_panels_and_interruptions_together(tmp_path, monkeypatch):
    """Marks are of tiles, whatever the panels; these follow the budget, which may change meanwhile."""
    monkeypatch.setattr(kernel_file, "SECONDS", 0.0)
    monkeypatch.setattr("ntkspec.backend.cpu.CpuBackend.tile", 16)
    jac = cases.mixed(110)
    work = 5 * 16**2 * 8
    memory = (work + 2 * 37 * 2 * jac.nbytes / 110) / 2**30  # two panels of some 37 samples
    kernel = Kernel.from_jacobian(jac, memory=memory, backend="cpu")
    assert Assembly.from_kernel(kernel, targets_given=True).tiling == Tiling(panel=32, step=16)
    seen = []

    def stop(share):
        seen.append(share)
        if len(seen) in (9, 17):
            raise KeyboardInterrupt

    for budget in (memory, None):
        with pytest.raises(KeyboardInterrupt):
            ntkspec.write_kernels(
                tmp_path / "k.h5", {"total": jac}, backend="cpu", memory=budget, progress=stop
            )
    path = ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac}, backend="cpu", memory=memory)
    whole = ntkspec.gram(jac, tile=16, backend="cpu")
    assert kernels_of(path)["total"].tobytes() == whole.tobytes()


def test_less_memory_than_a_file_was_begun_with(tmp_path, monkeypatch):
    jac = cases.mixed(110)
    with monkeypatch.context() as patched:
        patched.setattr(kernel_file, "_fill", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac})
    with pytest.raises(MemoryBudgetError, match="remove the file to begin again"):
        ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac}, memory=1e-4)
    assert kernels_of(ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac}))


@pytest.mark.parametrize("names", [("a/b", "a|b"), ("",), (".",)])
def test_names_that_cannot_stand_in_a_file(tmp_path, names):
    jac = cases.mixed(6)
    with pytest.raises(UsageError, match="names of kernels"):
        ntkspec.write_kernels(tmp_path / "k.h5", dict.fromkeys(names, jac))
    assert list(kernels_of(ntkspec.write_kernels(tmp_path / "k.h5", {"done": jac}))) == ["done"]


def test_the_command_writes_kernels_of_every_snapshot(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runs.write_run(tmp_path / "a.h5", cases.mixed(12))
    assert main(["a.h5", "--kernels", "kept/here", "-v"]) == 0
    assert sorted(os.listdir("kept/here")) == ["a-end.h5", "a-init.h5"]
    assert sorted(kernels_of("kept/here/a-end.h5")) == ["grid", "no_grid", "total"]
    told = capsys.readouterr().err
    assert "memory plan of a run, end, budget" in told
    for route in ("gram", "svd", "dual", "cholesky", "lanczos"):
        assert f"\n  {route} " in told
    (tmp_path / "kept" / "note").write_text("a file")
    assert main(["a.h5", "--kernels", "kept/note", "-o", "again"]) == 2
    assert "expected a folder for kernels" in capsys.readouterr().err


def test_kernels_that_a_report_refuses_are_in_no_file(tmp_path, monkeypatch, capsys, undrawn):
    """They were there, of zeros."""
    monkeypatch.chdir(tmp_path)
    runs.write_run(tmp_path / "some.h5", cases.tiny(12, "grid"), steps=(0,))
    runs.write_run(tmp_path / "all.h5", cases.tiny(12, "grid", "network"), steps=(0,))
    assert main(["some.h5", "--kernels", "kernels"]) == 0
    assert main(["all.h5", "--kernels", "kernels"]) == 2
    assert "kernel total: expected entries between" in capsys.readouterr().err
    assert os.listdir("kernels") == ["some-end.h5"]
    assert sorted(kernels_of("kernels/some-end.h5")) == ["no_grid", "total"]
    jac = cases.tiny(12, "grid")
    with pytest.raises(UsageError, match="kernel grid: expected entries between"):
        ntkspec.write_kernels("k.h5", {"total": jac, "grid": jac.only("grid")})
    assert not os.path.exists("k.h5")


def test_runs_whose_kernels_would_have_one_name(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        runs.write_run(tmp_path / folder / "a.h5", cases.mixed(6))
    with pytest.raises(ntkspec.NtkspecError, match="different names"):
        analyze_runs([tmp_path / "x/a.h5", tmp_path / "y/a.h5"], kernels=tmp_path)


def test_a_name_that_is_a_path_in_hdf5(tmp_path):
    jac = Jacobian((cases.blocks(6, 1)["dense-dense"],))
    path = ntkspec.write_kernels(tmp_path / "k.h5", {"no_a/b": jac})
    assert list(kernels_of(path)) == ["no_a|b"]
