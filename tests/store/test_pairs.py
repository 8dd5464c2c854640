"""Factors of pairs in run files: version 2 of the format, written only where it is needed."""

from __future__ import annotations

import cases
import h5py
import numpy as np
import pytest
from runs import write_run

import ntkspec
from ntkspec.errors import RunFileError
from ntkspec.jacobian import Jacobian, PairsFactor
from ntkspec.store import RunWriter

RIGHT = "snapshots/end/blocks/theta/right"


def with_pairs(n: int = 9, c: int = 2, dtype: type = np.float64) -> Jacobian:
    rng = np.random.default_rng(1)
    pairs = cases.pairs(rng, n, c, 3, 10, 12, dtype)
    return Jacobian((cases.block("theta", None, pairs, n, c, order=-1), *cases.mixed(n, c)))


def version(path) -> int:
    with h5py.File(path) as file:
        return int(file.attrs["version"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("c", [1, 2])
def test_pairs_come_back_and_take_their_own_room(tmp_path, c, dtype):
    jacobian = with_pairs(c=c, dtype=dtype)
    path = write_run(tmp_path / "run.h5", jacobian)
    assert version(path) == 2
    with ntkspec.open_run(path) as run:
        run.snapshot("end").check_values()
        read = run.snapshot("end").jacobian
        factor = read["theta"].right
        assert isinstance(factor, PairsFactor)
        assert factor.left.shape == (9, 1, 3, 10)
        assert factor.dtype == dtype
        assert np.array_equal(read.load().to_dense(), jacobian.to_dense())
        assert np.array_equal(read.rows([4, 1]).to_dense(), jacobian.to_dense()[[4, 1]])
        stored = sum(array.nbytes for array in factor.arrays.values())
    assert stored == 9 * 3 * (10 + 12 * c) * np.dtype(dtype).itemsize < factor.nbytes


def test_a_file_without_pairs_is_of_version_1(tmp_path):
    assert version(write_run(tmp_path / "run.h5")) == 1


def test_a_snapshot_that_is_begun_anew_takes_its_version_with_it(tmp_path):
    jacobian, plain = with_pairs(), cases.mixed(9)
    outputs = np.zeros((9, 2))
    with RunWriter(tmp_path / "run.h5", inputs=np.zeros((9, 1))) as run:
        with pytest.raises(KeyError), run.snapshot("end", step=1, label="end") as snapshot:
            snapshot.write(0, outputs[:5], jacobian.rows(range(5)))
            raise KeyError
        with run.snapshot("end", step=1, label="end") as snapshot:
            snapshot.write(0, outputs, plain)
    assert version(tmp_path / "run.h5") == 1


def test_kernels_of_pairs_are_those_of_what_they_stand_for(tmp_path):
    jacobian = with_pairs()
    with ntkspec.open_run(write_run(tmp_path / "run.h5", jacobian)) as run:
        spectrum = ntkspec.spectrum(run.snapshot("end").jacobian)
    dense = jacobian.to_dense().reshape(9, -1)
    np.testing.assert_allclose(spectrum.eigenvalues, np.linalg.eigvalsh(dense @ dense.T)[::-1], rtol=1e-9)


def spoiled(name):
    def edit(file):
        if name == "version 1":
            file.attrs["version"] = 1
        elif name == "other uses":
            values = file[f"{RIGHT}/right"][:, :, :2]
            del file[f"{RIGHT}/right"]
            file[f"{RIGHT}/right"] = values
        elif name == "no axis of uses":
            values = file[f"{RIGHT}/left"][:, 0]
            del file[f"{RIGHT}/left"]
            file[f"{RIGHT}/left"] = values
        else:
            file[f"{RIGHT}/left"][3, 1, 2] = np.nan

    return edit


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("version 1", "set the file's version to 2"),
        ("other uses", "expected shape (9, 2, 3, 1 or more)"),
        ("no axis of uses", "expected shape (9, 1 or more, 1 or more)"),
        ("not a number", "finite numbers"),
    ],
)
def test_spoiled_pairs_are_refused_in_one_line(tmp_path, name, said):
    path = write_run(tmp_path / "run.h5", with_pairs())
    with h5py.File(path, "r+") as file:
        for signed in (file, *file["snapshots"].values()):
            del signed.attrs["ntkspec_digest"]
        spoiled(name)(file)
    with pytest.raises(RunFileError) as caught, ntkspec.open_run(path) as run:
        run.snapshot("end").check_values()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
