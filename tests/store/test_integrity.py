"""What was written is what is read, or it is refused; what hangs or crashes HDF5 is refused too."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import zlib

import cases
import h5py
import looks
import numpy as np
import pytest
import runs

from ntkspec import sandbox
from ntkspec.errors import MemoryBudgetError, NtkspecError, RunFileError
from ntkspec.store import Run, RunWriter, digest, open_run, reader

INPUTS = np.linspace(0, 1, 24).reshape(12, 2)


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    path = tmp_path_factory.mktemp("valid") / "run.h5"
    with RunWriter(path, inputs=INPUTS, label="as written") as run:
        run.picture("truth", np.arange(20, dtype=np.uint8).reshape(4, 5))
        with run.snapshot("s", step=0, label="end") as snapshot:
            snapshot.write(0, INPUTS, cases.mixed(12), regions=np.arange(12))
    return path


CHANGES = {
    "label": lambda f: f.attrs.__setitem__("label", "another"),
    "config": lambda f: f.attrs.__setitem__("config", '{"lr": 1}'),
    "step": lambda f: f["snapshots/s"].attrs.__setitem__("step", 1),
    "snapshot's name": lambda f: f.move("snapshots/s", "snapshots/t"),
    "block's name": lambda f: f.move("snapshots/s/blocks/layer.0", "snapshots/s/blocks/layer.9"),
    "block left out": lambda f: f.__delitem__("snapshots/s/blocks/layer.0"),
    "regions left out": lambda f: f.__delitem__("snapshots/s/regions"),
    "order": lambda f: f["snapshots/s/blocks/layer.0"].attrs.__setitem__("order", 9),
    "checksum left out": lambda f: f["snapshots/s/outputs"].attrs.__delitem__("ntkspec_crc32"),
    "digest of the root left out": lambda f: f.attrs.__delitem__("ntkspec_digest"),
    "a loop of links": lambda f: f.__setitem__("snapshots/s/again", f["snapshots/s"]),
    "a left and a right": lambda f: (
        f.__delitem__("snapshots/s/blocks/layer.1/right"),
        f.__setitem__("snapshots/s/blocks/layer.1/right", np.ones((12, 2, 7))),
    ),
    "an output": lambda f: f["snapshots/s/outputs"].__setitem__((3, 1), 0.25),
    "a factor": lambda f: f["snapshots/s/blocks/layer.0/left"].__setitem__((3, 1), 0.25),
    "an index": lambda f: f["snapshots/s/blocks/level.1/left/indices"].__setitem__((3, 1), 7),
    "a region": lambda f: f["snapshots/s/regions"].__setitem__(3, 7),
    "an input": lambda f: f["samples/inputs"].__setitem__((3, 1), 0.25),
    "a pixel": lambda f: f["pictures/truth"].__setitem__((3, 1), 0),
    "a picture's name": lambda f: f.move("pictures/truth", "pictures/s"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_told(name, valid, tmp_path):
    path = shutil.copy(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        CHANGES[name](file)
    with pytest.raises(RunFileError, match=r"damaged or changed|attribute 'ntkspec_digest'") as caught:
        with open_run(path) as run:
            run.check_values()
    assert "\n" not in str(caught.value)


def test_one_read_of_all_rows_is_held_against_the_checksum(valid, tmp_path):
    path = shutil.copy(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file["snapshots/s/blocks/layer.0/left"][3, 1] = 0.25
    with open_run(path) as run, pytest.raises(RunFileError, match="ntkspec_crc32"):
        run.snapshot("s").jacobian.load()


def test_a_chunk_outside_the_file_is_told_before_it_is_read(valid, tmp_path):
    chunks = []
    with h5py.File(valid) as file:
        file["snapshots/s/outputs"].id.chunk_iter(lambda chunk: chunks.append(chunk.byte_offset))
    path, outside = tmp_path / "run.h5", 2**30
    path.write_bytes(valid.read_bytes().replace(*(at.to_bytes(8, "little") for at in (chunks[-1], outside))))
    with pytest.raises(RunFileError, match=f"chunks within the file's .* bytes, got one of .* at {outside}"):
        open_run(path, trial=True)


def test_what_nobody_named_may_be_added(valid, tmp_path):
    path = shutil.copy(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file["notes/deep"] = np.arange(3)
    with open_run(path) as run:
        run.check_values()


def test_checksums_are_zlibs_over_little_endian_rows(valid):
    with h5py.File(valid) as file:
        for data in (file["samples/inputs"], file["snapshots/s/blocks/level.1/left/indices"]):
            plain = np.ascontiguousarray(data[...].astype(data.dtype.newbyteorder("<"))).tobytes()
            assert int(data.attrs["ntkspec_crc32"]) == zlib.crc32(plain)
    big = INPUTS.astype(">f8")
    assert digest.crc32(big[5:], digest.crc32(big[:5])) == digest.crc32(INPUTS)


def test_a_part_without_digests_is_resumed(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=INPUTS) as run:
        with run.snapshot("old", step=0, label="init") as snapshot:
            snapshot.write(0, INPUTS, cases.mixed(12))
        raise ZeroDivisionError
    with h5py.File(tmp_path / "run.h5.part", "r+") as file:
        file.visititems(
            lambda _, item: (
                [item.attrs.pop(name, None) for name in ("ntkspec_crc32", "ntkspec_digest")] and None
            )
        )
    with RunWriter(path, inputs=INPUTS, resume=True) as run:
        with run.snapshot("new", step=1, label="end") as snapshot:
            snapshot.write(0, INPUTS, cases.mixed(12))
    with open_run(path) as run:
        run.check_values()
        assert [snap.id for snap in run.snapshots] == ["old", "new"]


def test_a_damaged_part_is_not_resumed(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=INPUTS) as run:
        with run.snapshot("s", step=0, label="init") as snapshot:
            snapshot.write(0, INPUTS, cases.mixed(12))
        raise ZeroDivisionError
    with h5py.File(tmp_path / "run.h5.part", "r+") as file:
        file["snapshots/s"].attrs["label"] = "other"
    with pytest.raises(NtkspecError, match="damaged or changed"):
        RunWriter(path, inputs=INPUTS, resume=True)
    with h5py.File(tmp_path / "run.h5.part", "r+") as file:  # a `KeyError` of h5py came
        del file["snapshots/s"].attrs["ntkspec_digest"], file["snapshots/s"].attrs["step"]
    with pytest.raises(NtkspecError, match="attribute 'step'"):
        RunWriter(path, inputs=INPUTS, resume=True)


# -- the child that looks first

linux = pytest.mark.skipif(sys.platform != "linux", reason="files are tried out on Linux alone")


def no_zombie():
    """Whether no child has ended unnoticed; others may run, such as multiprocessing's resource tracker."""
    try:
        return os.waitpid(-1, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True


LOOKS = {
    "hangs": (looks.spin, RunFileError, "takes too long"),
    "crashes": (looks.crash, RunFileError, "crashes"),
    "takes memory": (looks.take_memory, MemoryBudgetError, "budget"),
}


@linux
@pytest.mark.parametrize("name", LOOKS)
def test_a_child_that(name, tmp_path, recwarn, capfd):
    look, kind, word = LOOKS[name]
    path = tmp_path / "file"
    path.write_text("x")
    sandbox.start()
    handles = os.listdir("/proc/self/fd")
    other = threading.Thread(target=time.sleep, args=(0.5,))
    other.start()
    for _ in range(2):  # the second time it is known
        with pytest.raises(kind, match=word):
            sandbox.try_out(path, name, look, 2**28, 1)
    other.join()
    assert os.listdir("/proc/self/fd") == handles
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
    assert no_zombie()


@linux
def test_a_step_grants_time_for_another(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    sandbox.try_out(path, "steps", looks.work_in_steps, 2**28, 1)


@linux
def test_a_damaged_file_is_looked_at_in_the_child_alone(valid, tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    whole = valid.read_bytes()
    path.write_bytes(whole[:3000] + bytes(20_000) + whole[23_000:])
    seen = []  # a child's appends do not come back
    monkeypatch.setattr(reader, "Run", lambda *args: seen.append(args) or Run(*args))
    with pytest.raises(NtkspecError):
        open_run(path, trial=True)
    assert not seen
    open_run(valid, trial=True).close()
    assert len(seen) == 1


def test_a_change_on_purpose_is_accepted_as_the_message_says(valid, tmp_path):
    path = shutil.copy(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["label"] = "another"
        file["snapshots/s/outputs"][3, 1] = 0.25
    with pytest.raises(RunFileError, match="delete every ntkspec_digest and the stale ntkspec_crc32"):
        open_run(path)
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("ntkspec_digest", None) and None)
        file.attrs.pop("ntkspec_digest")
        del file["snapshots/s/outputs"].attrs["ntkspec_crc32"]
    with open_run(path) as run:
        run.check_values()
        assert run.label == "another"


def test_attributes_of_other_writers_are_theirs(valid, tmp_path):
    path = runs.foreign_run(tmp_path / "foreign.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["digest"] = "md5:0123"
        file["samples/inputs"].attrs["crc32"] = "deadbeef"
    with open_run(path) as run:
        run.check_values()


def test_checksums_are_of_little_endian_bytes_whatever_the_machine(monkeypatch):
    """A file that was written on a big-endian machine is the same file."""
    native = np.array([1.5, -2.0, 3.25])
    expected = zlib.crc32(native.astype("<f8").tobytes())
    assert digest.crc32(native) == digest.crc32(native.astype(">f8")) == expected
    assert digest.crc32(native[::-1]) != expected
    monkeypatch.setattr(digest.sys, "byteorder", "big")  # where "native" means the other order
    assert digest.crc32(native.astype(">f8")) == expected
    assert digest.crc32(native.astype(np.int8)) == zlib.crc32(native.astype(np.int8).tobytes())
