"""Room on the disk is asked for before anything is written: enough of it, and no more than is needed."""

from __future__ import annotations

import errno
import os

import cases
import numpy as np
import pytest

from ntkspec.errors import OutputError
from ntkspec.jacobian import Jacobian
from ntkspec.store import RunWriter, disk, open_run

INPUTS = np.linspace(0, 1, 24).reshape(12, 2)


@pytest.fixture
def asked(monkeypatch):
    """The ranges of the scratch files that were to have room: (start, bytes)."""
    ranges = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: ranges.append((start, size)))
    return ranges


def write(run, id, jacobian, **options):
    with run.snapshot(id, step=0, label=id, **options) as snapshot:
        snapshot.write(0, np.ones((jacobian.samples, jacobian.outputs)), jacobian)


def dense(n, width, name="w", order=0):
    return cases.block(name, None, cases.dense(np.random.default_rng(0), n, 1, width), n, 1, order=order)


def test_room_is_asked_for_what_is_to_come_alone(tmp_path, asked):
    """A disk that has it is enough, however large the file is already."""
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        write(run, "large", Jacobian((dense(12, 40_000),)))
        before = run.part.stat().st_size
        asked.clear()
        write(run, "small", Jacobian((dense(12, 10),)))
    assert before > 3_000_000
    assert all(start >= before and size < 1_100_000 for start, size in asked)


@pytest.mark.parametrize(
    "blocks",
    [
        [("w", 2, 550_000)],  # 4.2 MiB a row: the last axis is cut
        [(f"layer.{i}.bias", 2, 3) for i in range(300)],
    ],
    ids=["wide", "many"],
)
def test_a_snapshot_takes_no_more_than_was_asked_for(blocks, tmp_path, asked):
    made = [dense(n, width, name, i) for i, (name, n, width) in enumerate(blocks)]
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS[:2]) as run:
        asked.clear()
        write(run, "s", Jacobian(tuple(made)))
        assert run.part.stat().st_size <= max(start + size for start, size in asked)


@pytest.mark.parametrize("work", ["snapshot", "relabel", "merge", "picture"])
def test_a_full_disk_leaves_the_file_as_it_was(work, tmp_path, monkeypatch):
    """HDF5 is not asked to write what cannot be written: the file could not even be closed then."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        write(run, "a", cases.mixed(12), metrics={"a": 1})
        write(run, "b", cases.mixed(12), metrics={"b": 2})
        before = run.part.read_bytes()
        does = {
            "snapshot": lambda: write(run, "c", cases.mixed(12)),
            "relabel": lambda: run.relabel("a", "other", {}),
            "merge": lambda: run.merge("b"),
            "picture": lambda: run.picture("truth", np.zeros((4, 4), np.uint8)),
        }
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", full)
            with pytest.raises(OutputError, match="expected to write the file, got No space left on device"):
                does[work]()
        assert run.part.read_bytes() == before
        does[work]()
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()


def test_a_write_that_hdf5_could_not_do_is_said_in_the_words_of_the_system(tmp_path):
    said = "Unable to flush file (file write failed: errno = 28, error message = 'No space', buf = 0)"
    with pytest.raises(OutputError, match=r"run\.h5: expected to write the file, got No space; check space"):
        with disk.writing(tmp_path / "run.h5"):
            raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="another"), disk.writing(tmp_path / "run.h5"):
        raise RuntimeError("another")
