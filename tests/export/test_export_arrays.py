"""Numbers in whatever arrays they come: the ones that were given, or one line."""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
import torch
from torch import nn
from torch.masked import masked_tensor

from ntkspec.errors import ExportError, NtkspecError, UsageError
from ntkspec.export import RunExporter, jacobian
from ntkspec.export.arrays import as_array, as_indices, as_picture
from ntkspec.store.writer import RunWriter

GRID = np.indices((3, 3)).reshape(2, -1).T / 2.0  # (9, 2), exact in every precision
HOLES = np.ma.masked_array(GRID, mask=GRID == 1.0)


class Frame:
    """As tables of other libraries: numbers by __array__, as objects."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return GRID.astype(object)


class Giving:
    """Gives an array when NumPy asks for one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


def boxed(rows: Any) -> np.ndarray:
    """An array of objects, each of which is a row."""
    array = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


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
    "objects": lambda: GRID.astype(object),
    "rows as objects": lambda: boxed(GRID),
    "an object that is an array": lambda: np.array(Giving(GRID), dtype=object),
    "deque": lambda: deque(GRID),
    "deque of tensors with gradients": lambda: deque(row.requires_grad_() for row in tensor()),
    "sequence of another kind": lambda: UserList(GRID),
    "object without a mask": lambda: Giving(np.ma.masked_array(GRID)),
    "masked tensor without a mask": lambda: masked_tensor(tensor(), tensor() >= 0),
    "nested tensor of equal rows": lambda: torch.nested.nested_tensor(list(tensor())),
    "fractions": lambda: [[Fraction(a), Fraction(b)] for a, b in GRID],
    "decimals": lambda: [[Decimal(a), Decimal(b)] for a, b in GRID],
    "a table": Frame,
    "matrix": lambda: np.matrix(GRID),
    "memory": lambda: memoryview(np.ascontiguousarray(GRID)),
    "tensor with a gradient": lambda: tensor().requires_grad_(),
    "transposed tensor": lambda: torch.tensor(GRID.T.copy()).T,
    "negated view": lambda: torch.complex(tensor(), -tensor()).conj().imag,
    "sparse tensor": lambda: tensor().to_sparse(),
    "quantised tensor": lambda: torch.quantize_per_tensor(tensor(torch.float32), 0.5, 0, torch.qint8),
    "bfloat16 tensor": lambda: tensor(torch.bfloat16),
    "float8 tensor": lambda: tensor(torch.float8_e4m3fn),
    "list of tensors": lambda: [row.requires_grad_() for row in tensor()],
    "list of bfloat16 tensors": lambda: list(tensor(torch.bfloat16)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SAME)
def test_the_numbers_are_those_given(name: str) -> None:
    array = as_array(SAME[name](), "inputs")
    np.testing.assert_array_equal(array, GRID)
    assert array.flags.c_contiguous
    assert array.dtype.isnative
    assert array.dtype in (np.float32, np.float64)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(GRID.astype(">f4"), np.float32), (GRID > 0.5, np.float64), (np.arange(6).reshape(3, 2), np.float64)],
)
def test_kinds_of_numbers(values: np.ndarray, dtype: Any) -> None:
    array = as_array(values, "inputs")
    np.testing.assert_array_equal(array, values)
    assert array.dtype == dtype


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "mask": (lambda: HOLES, "mask on 6 of 18 entries"),
    "masked row": (lambda: [HOLES[0], HOLES[2]], "mask on 1 of 2 entries"),
    "deque of masked rows": (lambda: deque(HOLES), "mask on 1 of 2 entries"),
    "sequence of masked rows": (lambda: UserList(HOLES), "mask on 1 of 2 entries"),
    "masked rows as objects": (lambda: boxed(HOLES), "mask on 1 of 2 entries"),
    "masked numbers as objects": (lambda: boxed(HOLES[:, :1]), "mask on 1 of 1 entries"),
    "object with a mask": (lambda: Giving(HOLES), "mask on 6 of 18 entries"),
    "objects with masks": (lambda: [Giving(row) for row in HOLES], "mask on 1 of 2 entries"),
    "masked tensor": (lambda: masked_tensor(tensor(), tensor() != 1.0), "mask on 6 of 18 entries"),
    "masked number": (lambda: [[1.0, np.ma.masked]], "mask on 1 of 1"),
    "ragged": (lambda: [[0.0, 1.0], [2.0]], "rows of the same length, got list"),
    "ragged tensors": (lambda: [torch.zeros(2), torch.zeros(3)], "rows of the same length"),
    "refusing": (Refusing, "got Refusing .*RuntimeError"),
    "nothing": (lambda: None, "got None; give an array"),
    "a gap": (lambda: [[None, 1.0]], "NaN"),
    "words among objects": (lambda: np.array([["1", 2.0]], dtype=object), "object of shape"),
    "words": (lambda: [["1", "2"]], "<U1"),
    "dates": (lambda: np.zeros((3, 2), "M8[s]"), "datetime64"),
    "records": (lambda: np.zeros(3, [("a", float)]), "shape"),
    "generator": (lambda: (row for row in GRID), "type generator; give a list"),
    "dict": (lambda: {"x": GRID}, "type dict; give one array of its values"),
    "mapping": (lambda: UserDict({0: 1.0}), "type UserDict; give one array of its values"),
    "sparse matrix": (lambda: scipy.sparse.csr_matrix(GRID), r"csr_matrix; .* toarray\(\)"),
    "some object": (object, "type object; give an array"),
    "a number": (lambda: 3.0, r"shape \(\)"),
    "no samples": (list, r"shape \(0,\)"),
    "no columns": (lambda: np.zeros((3, 0)), r"shape \(3, 0\)"),
    "complex": (lambda: GRID + 0j, "complex128"),
    "conjugate tensor": (lambda: (tensor() + 0j).conj(), "complex128"),
    "beyond double precision": (lambda: (GRID + 1) * np.longdouble("1e4000"), "NaN or Inf"),
    "long integers": (lambda: [[10**400, 1]], "object of shape"),
    "meta tensor": (lambda: torch.zeros(3, 2, device="meta"), "meta tensor"),
    "nested tensor": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "inhomogeneous"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_one_line_for_what_is_no_array_of_numbers(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(ExportError, match=f"^inputs: expected .*{said}") as caught:
        as_array(make(), "inputs")
    assert "\n" not in str(caught.value)


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
    np.testing.assert_array_equal(as_indices(values), np.arange(9))
    assert as_indices(values).dtype == np.int64


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
    with pytest.raises(ExportError, match=r"^indices: expected"):
        as_indices(values)


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
        with pytest.raises(NtkspecError, match=r"^picture 'init': expected"):
            run.snapshot(nn.Linear(2, 1), step=0, label="init", picture=make())
        assert run.snapshots == ()
        with pytest.raises((ExportError, UsageError), match=r"^picture 'truth': expected"):
            run.picture("truth", make())
        run.snapshot(nn.Linear(2, 1), step=0, label="init", picture=PIXELS)
