"""Texts that HDF5 cannot hold, and file systems that cannot lock."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace

import cases
import h5py
import numpy as np
import pytest
import runs

import ntkspec
from ntkspec.analyze import main
from ntkspec.errors import RunFileError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.store import RunWriter, disk, open_run

INPUTS = np.linspace(0, 1, 24).reshape(12, 2)
BAD = {"caf\udce9": "caf\N{REPLACEMENT CHARACTER}", "a\0b": "a\N{REPLACEMENT CHARACTER}b"}


@pytest.mark.parametrize("label", BAD)
def test_labels_are_kept_as_far_as_they_can_be(label, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with RunWriter("run.h5", inputs=INPUTS, label=label, config={"label": label}) as run:
        with run.snapshot("end", step=1, label=label, metrics={label: 1.0}) as snapshot:
            snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
    with open_run("run.h5") as run:
        assert (run.label, run.snapshots[0].label) == (BAD[label], BAD[label])
        assert run.config == {"label": label}
    assert main(["run.h5", "-q", "--snapshot", label]) == 2  # there is none that is called so
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", [*BAD, 3, None, b"x"])
def test_names_are_refused_and_nothing_is_left(name, tmp_path):
    """A name with NUL would be cut there, and could be another's."""
    jac = cases.mixed(12)
    blocks = {
        "name of a block": replace(jac.blocks[0], name=name),
        "role of block": replace(jac.blocks[0], role=name),
    }
    for where, block in blocks.items():
        with pytest.raises(UsageError, match=where), RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
            with run.snapshot("s", step=0, label="s") as snapshot:
                snapshot.write(0, np.ones((12, 2)), Jacobian((block,)))
    with (
        pytest.raises(UsageError, match="id of a snapshot"),
        RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run,
    ):
        with run.snapshot(name, step=0, label="s"):
            pass
    with (
        pytest.raises(UsageError, match="name of a picture"),
        RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run,
    ):
        run.picture(name, np.zeros((2, 2), np.uint8))
    if not isinstance(name, str):
        with pytest.raises(UsageError, match="label of the run: expected a string"):
            RunWriter(tmp_path / "run.h5", inputs=INPUTS, label=name)
    assert os.listdir(tmp_path) == []


def test_a_file_whose_name_is_no_text(tmp_path, monkeypatch, undrawn, capsys):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9")
    runs.write_run(tmp_path / f"{name}.h5", label="", steps=(1,))
    assert main([f"{name}.h5", "--kernels", "k"]) == 0, capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == sorted([f"{name}.h5", f"{name}-report", "k"])
    assert os.listdir("k") == [f"{name}-end.h5"]
    page = (tmp_path / f"{name}-report/index.html").read_text(encoding="utf-8")
    assert "caf\N{REPLACEMENT CHARACTER}" in page


# -- locks


@pytest.fixture
def lockless(monkeypatch):
    """A file system on which nothing can be locked; HDF5 obeys who asks it for no locks."""
    real = h5py.File

    def file(path, mode="r", **options):
        if options.get("locking") is not False or os.environ.get("HDF5_USE_FILE_LOCKING") == "TRUE":
            if mode == "x":  # made, and then not locked
                open(path, "xb").close()
            raise OSError(37, "unable to lock file, errno = 37, error message = 'No locks available'")
        return real(path, mode, **options)

    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    monkeypatch.setattr(h5py, "File", file)
    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_system_without_locks(lockless, tmp_path):
    path = runs.write_run(tmp_path / "run.h5")
    runs.write_run(path, overwrite=True)
    with open_run(path) as run:
        run.check_values()
        jac = run.snapshot("end").jacobian
        ntkspec.write_kernels(tmp_path / "k.h5", {"total": jac})
    with pytest.raises(ZeroDivisionError), RunWriter(tmp_path / "two.h5", inputs=INPUTS) as run:
        for step in range(2):
            with run.snapshot(f"s{step}", step=step, label="x") as snapshot:
                snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
                assert step == 0 or 1 / 0
    with RunWriter(tmp_path / "two.h5", inputs=INPUTS, resume=True) as run:
        assert run.complete_snapshots == ("s0",)
    assert sorted(os.listdir(tmp_path)) == ["k.h5", "run.h5", "two.h5"]


@pytest.mark.usefixtures("lockless")
def test_an_environment_that_insists_on_locks(tmp_path, monkeypatch):
    path = runs.write_run(tmp_path / "run.h5")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    with pytest.raises(UsageError, match=r"HDF5_USE_FILE_LOCKING: .* set it to FALSE"):
        open_run(path)


def test_a_lock_that_somebody_holds_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    path = runs.write_run(tmp_path / "run.h5")
    with path.open("rb") as handle:
        assert not disk.is_locked(path)
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert disk.is_locked(path)
        with pytest.raises(RunFileError, match="wait if it is being written"):
            open_run(path)
        with pytest.raises(BlockingIOError):
            disk.open_hdf5(path, "r+")
