"""Numbers in whatever arrays they come: the ones that were given, or one line."""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch
from torch import nn
from torch.masked import masked_tensor

import ntkspec
from ntkspec.errors import ExportError, UsageError
from ntkspec.export import RunExporter, jacobian
from ntkspec.export.arrays import as_picture, as_positions, as_rows
from ntkspec.store.writer import RunWriter

GRID = np.indices((3, 3)).reshape(2, -1).T / 2.0  # (9, 2), exact in every precision
HOLES = np.ma.masked_array(GRID, mask=GRID == 1.0)


class Giving:
    """Gives an array when NumPy asks for one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


class Refusing:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError


def tensor(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(GRID, dtype=dtype)


SAME: dict[str, Callable[[], Any]] = {
    "columns swapped twice": lambda: GRID[:, ::-1].copy()[:, ::-1],
    "rows from below": lambda: np.flipud(np.flipud(GRID).copy()),
    "column by column": lambda: np.asfortranarray(GRID),
    "every second": lambda: np.repeat(GRID, 2, axis=0)[::2],
    "read only": lambda: np.frombuffer(GRID.tobytes()).reshape(9, 2),
    "not aligned": lambda: np.frombuffer(b"." + GRID.tobytes(), np.uint8)[1:].view(float).reshape(9, 2),
    "other byte order": lambda: GRID.astype(">f8"),
    "half": lambda: GRID.astype(np.float16),
    "long double": lambda: GRID.astype(np.longdouble),
    "no mask": lambda: np.ma.masked_array(GRID),
    "an empty mask": lambda: np.ma.masked_array(GRID, mask=False),
    "lists": lambda: GRID.tolist(),
    "tuples": lambda: tuple(map(tuple, GRID)),
    "rows without a mask": lambda: [np.ma.masked_array(row) for row in GRID],
    "deque": lambda: deque(GRID),
    "sequence of another kind": lambda: UserList(GRID),
    "object without a mask": lambda: Giving(np.ma.masked_array(GRID)),
    "masked tensor without a mask": lambda: masked_tensor(tensor(), tensor() >= 0),
    "matrix": lambda: np.matrix(GRID),
    "memory": lambda: memoryview(np.ascontiguousarray(GRID)),
    "tensor with a gradient": lambda: tensor().requires_grad_(),
    "transposed tensor": lambda: torch.tensor(GRID.T.copy()).T,
    "negated view": lambda: torch.complex(tensor(), -tensor()).conj().imag,
    "sparse tensor": lambda: tensor().to_sparse(),
    "bfloat16 tensor": lambda: tensor(torch.bfloat16),
    "float8 tensor": lambda: tensor(torch.float8_e4m3fn),
    "list of tensors": lambda: [row.requires_grad_() for row in tensor()],
    "list of bfloat16 tensors": lambda: list(tensor(torch.bfloat16)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SAME)
def test_the_numbers_are_those_given(name: str) -> None:
    array = as_rows(SAME[name](), "inputs")
    np.testing.assert_array_equal(array, GRID)
    assert array.flags.c_contiguous
    assert array.dtype.isnative
    assert array.dtype in (np.float32, np.float64)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(GRID.astype(">f4"), np.float32), (GRID > 0.5, np.float64), (np.arange(6).reshape(3, 2), np.float64)],
)
def test_kinds_of_numbers(values: np.ndarray, dtype: Any) -> None:
    array = as_rows(values, "inputs")
    np.testing.assert_array_equal(array, values)
    assert array.dtype == dtype


# What is refused whether it comes to an exporter or to `write_run`, and what the message says of it.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "mask": (lambda: HOLES, r"got masked ones \(6\)"),
    "masked row": (lambda: [HOLES[0], HOLES[2]], r"got masked ones \(1\)"),
    "object with a mask": (lambda: Giving(HOLES), r"got masked ones \(6\)"),
    "objects with masks": (lambda: [Giving(row) for row in HOLES], r"got masked ones \(6\)"),
    "masked number": (lambda: [[1.0, np.ma.masked]], r"got masked ones \(1\)"),
    "masked rows in lists": (lambda: [[HOLES[0]], [HOLES[2]]], r"got masked ones \(1\)"),
    "masked rows in a deque": (lambda: deque(HOLES), r"got masked ones \(6\)"),
    "ragged": (lambda: [[0.0, 1.0], [2.0]], "got a list that it does not"),
    "refusing": (Refusing, "got a Refusing that it does not .RuntimeError"),
    "nothing": (lambda: None, "got None"),
    "a gap": (lambda: [[None, 1.0]], "got object"),
    "objects": (lambda: GRID.astype(object), "got object"),
    "words": (lambda: [["1", "2"]], "<U1"),
    "dates": (lambda: np.zeros((3, 2), "M8[s]"), "datetime64"),
    "records": (lambda: np.zeros(3, [("a", float)]), "shape"),
    "many fields": (lambda: np.zeros(3, [("a", float), ("b", float)]), "an array of real numbers"),
    "generator": (lambda: (row for row in GRID), "got object"),
    "dict": (lambda: {"x": GRID}, "got object"),
    "sparse matrix": (lambda: scipy.sparse.csr_matrix(GRID), "got object"),
    "some object": (object, "got object"),
    "a number": (lambda: 3.0, r"shape \(\)"),
    "no samples": (list, r"shape \(0,\)"),
    "no columns": (lambda: np.zeros((3, 0)), r"shape \(3, 0\)"),
    "complex": (lambda: GRID + 0j, "complex128"),
    "long integers": (lambda: [[10**400, 1]], "got object"),
}
REFUSED_TENSORS: dict[str, tuple[Callable[[], Any], str]] = {
    "masked tensor": (lambda: masked_tensor(tensor(), tensor() != 1.0), r"got masked ones \(6\)"),
    "ragged tensors": (lambda: [torch.zeros(2), torch.zeros(3)], "got a list that it does not"),
    "conjugate tensor": (lambda: (tensor() + 0j).conj(), "complex128"),
    "meta tensor": (lambda: torch.zeros(3, 2, device="meta"), "meta tensor"),
    "nested tensor": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "got a Tensor"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_TENSORS])
def test_one_line_for_what_is_no_array_of_numbers(name: str) -> None:
    make, said = (REFUSED | REFUSED_TENSORS)[name]
    with pytest.raises(UsageError, match=f"^inputs: expected .*{said}") as caught:
        as_rows(make(), "inputs")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_run_files_of_arrays_refuse_the_same(name: str, tmp_path: Path) -> None:
    make, said = REFUSED[name]
    with pytest.raises(UsageError, match=f"^inputs: expected .*{said}"):
        ntkspec.write_run(tmp_path / "run.h5", make(), np.ones(9), {"w": GRID})
    assert not list(tmp_path.iterdir())


def test_the_writer_drops_no_mask_either(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inputs: expected numbers without a mask"):
        RunWriter(tmp_path / "run.h5", inputs=HOLES)


def test_too_large_for_single_precision() -> None:
    net, x = nn.Linear(2, 1), np.full((3, 2), 1e200)
    with pytest.raises(ExportError, match=r"1.0e\+200.*precision='float64'"):
        jacobian(net, x, precision="float32")
    assert np.isfinite(jacobian(net, x).to_dense()).all()


def test_the_file_holds_what_was_given_though_it_is_changed_later(tmp_path: Path) -> None:
    x, targets = GRID.copy(), torch.arange(9.0).flip(0)[:, None]
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    run = RunExporter(
        tmp_path / "run.h5", inputs=x[:, ::-1], targets=targets, indices=np.arange(9, dtype=">i2")[::-1]
    )
    x += 1
    targets += 1
    with run:
        run.snapshot(net, step=0, label="init")
    with h5py.File(tmp_path / "run.h5") as file:
        np.testing.assert_array_equal(file["samples/inputs"], GRID[:, ::-1])
        np.testing.assert_array_equal(file["samples/targets"][:, 0], np.arange(9)[::-1])
        np.testing.assert_array_equal(file["samples/indices"], np.arange(9)[::-1])
        np.testing.assert_allclose(
            file["snapshots/init/outputs"], net.double()(torch.tensor(GRID[:, ::-1].copy())).detach()
        )


@pytest.mark.parametrize(
    "values", [list(range(9)), range(9), torch.arange(9), np.ma.arange(9), np.arange(9, dtype=">u2")]
)
def test_indices(values: Any) -> None:
    np.testing.assert_array_equal(as_positions(values, "indices", 9), np.arange(9))
    assert as_positions(values, "indices", 9).dtype == np.int64


@pytest.mark.parametrize(
    "values",
    [
        np.ma.masked_equal(np.arange(9), 3),
        [[1], [2, 3]],
        np.full(9, 2**64 - 1, np.uint64),
        np.arange(9) * 1.0,
        np.arange(9) > 3,
        np.arange(9)[:, None],
        5,
        None,
        torch.zeros(9, dtype=torch.int64, device="meta"),
    ],
)
def test_no_indices(values: Any) -> None:
    with pytest.raises(UsageError, match=r"^indices: expected"):
        as_positions(values, "indices", 9)


PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PIXELS[::-1, ::-1].copy()[::-1, ::-1],
        lambda: np.asfortranarray(PIXELS),
        lambda: np.ma.masked_array(PIXELS),
        lambda: torch.tensor(PIXELS),
        lambda: list(PIXELS),
    ],
)
def test_pictures(make: Callable[[], Any]) -> None:
    np.testing.assert_array_equal(as_picture(make(), "truth"), PIXELS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.ma.masked_equal(PIXELS, 3),
        lambda: [[1], [2, 3]],
        lambda: PIXELS / 255,
        lambda: np.zeros((2, 2, 4), np.uint8),
        lambda: np.zeros((0, 3), np.uint8),
        lambda: torch.tensor(PIXELS / 255).requires_grad_(),
        lambda: "truth.png",
        Refusing,
    ],
)
def test_no_pictures(make: Callable[[], Any], tmp_path: Path) -> None:
    """They are refused before the snapshot is made, which stays out of the file."""
    with RunExporter(tmp_path / "run.h5", inputs=GRID) as run:
        with pytest.raises(UsageError, match=r"^picture 'init': expected"):
            run.snapshot(nn.Linear(2, 1), step=0, label="init", picture=make())
        assert run.snapshots == ()
        with pytest.raises(UsageError, match=r"^picture 'truth': expected"):
            run.picture("truth", make())
        run.snapshot(nn.Linear(2, 1), step=0, label="init", picture=PIXELS)
