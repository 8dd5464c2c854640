"""Whatever a lookup or linear map is written in, its blocks are autograd's Jacobian, sparse or of factors."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import uses_zoo as zoo
from export_zoo import inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec import open_run
from ntkspec.errors import MemoryBudgetError
from ntkspec.export import ExportWarning, RunExporter, dense, driver, forecast, jacobian, probe
from ntkspec.export import foretold as foretold_module
from ntkspec.export.forms import survey
from ntkspec.export.owners import owners
from ntkspec.export.prepare import prepare
from ntkspec.export.rank_one import Layout, factorise, find_layout
from ntkspec.export.sparse_rows import padded
from ntkspec.export.uses import find
from ntkspec.export.uses.interpolation import sampled
from ntkspec.jacobian import Block, DenseFactor, Jacobian, PairsFactor, SparseFactor

torch.set_num_threads(1)
PRECISIONS = {"float64": 1e-12, "float32": 2e-5}


def rows_by_autograd(model: nn.Module, x: Tensor) -> dict[str, NDArray[Any]]:
    """J (n, c, size) of every parameter, a sample and an output at a time, in double precision."""
    model, x = _double(copy.deepcopy(model)), x.double()
    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    names, parameters = zip(*trained, strict=True)
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for sample in x:
        for output in model(sample[None])[0]:
            gradients = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
            for name, one, gradient in zip(names, parameters, gradients, strict=True):
                dense = torch.zeros_like(one) if gradient is None else gradient.to_dense()
                dense = torch.view_as_real(dense) if dense.is_complex() else dense
                found[name].append(dense.flatten().numpy())
    return {
        name: np.stack(rows).reshape(len(x), len(rows) // len(x), rows[0].size)
        for name, rows in found.items()
    }


def _double(model: nn.Module) -> nn.Module:
    """In double precision; complex parameters stay as they are."""
    return model._apply(lambda t: t.double() if t.is_floating_point() else t)


def kernel(*rows: NDArray[Any]) -> NDArray[Any]:
    """K (n, c, n, c)."""
    return sum(np.einsum("nop,mqp->nomq", one, one) for one in rows)


def assert_kernels(jac: Jacobian, rows: dict[str, NDArray[Any]], relative: float) -> None:
    """Every parameter's kernel is autograd's, and so is the whole."""
    blocks: dict[frozenset[str], list[Block]] = {}
    for block in jac:
        names = frozenset(re.split(r"\[| \(part", parameter.name)[0] for parameter in block.parameters)
        blocks.setdefault(names, []).append(block)
    whole = kernel(*rows.values())
    for names, found in blocks.items():
        expected = kernel(*(rows[name] for name in names))
        ours = kernel(*(block.to_dense() for block in found))
        np.testing.assert_allclose(ours, expected, rtol=0, atol=relative * np.abs(expected).max())
    np.testing.assert_allclose(kernel(jac.to_dense()), whole, rtol=0, atol=relative * np.abs(whole).max())


def of_table(jac: Jacobian) -> list[Block]:
    blocks = [block for block in jac if re.split(r"\[| \(part", block.parameters[0].name)[0] == "p"]
    assert blocks
    return blocks


@pytest.mark.filterwarnings("ignore::ntkspec.export.ExportWarning")
@pytest.mark.parametrize(("precision", "c"), [("float64", 3), ("float32", 1)])
@pytest.mark.parametrize("name", zoo.LOOKUPS)
def test_lookups_are_sparse_and_autograds(name: str, c: int, precision: Any) -> None:
    shape, function, width = zoo.LOOKUPS[name]
    model, x = zoo.build(shape, function, c, width), inputs(14)
    jac = jacobian(model, x, precision=precision, chunk=9)
    assert_kernels(jac, rows_by_autograd(model, x), PRECISIONS[precision])
    for block in of_table(jac):
        assert block.role == "grid"
        assert isinstance(block.left, SparseFactor) or isinstance(block.right, SparseFactor)


@pytest.mark.parametrize(("precision", "c"), [("float64", 3), ("float32", 1)])
@pytest.mark.parametrize("name", zoo.PRODUCTS)
def test_products_are_factors_and_autograds(name: str, c: int, precision: Any) -> None:
    shape, function = zoo.PRODUCTS[name]
    model, x = zoo.build(shape, function, c), inputs(11)
    if "shift" not in name and name not in ("addmm", "einsum", "matrix first", "gain"):
        model.shift.requires_grad_(False)
    jac = jacobian(model, x, precision=precision, chunk=6)
    assert_kernels(jac, rows_by_autograd(model, x), PRECISIONS[precision])
    (block,) = of_table(jac)
    assert isinstance(block.left, DenseFactor)
    assert isinstance(block.right, DenseFactor)
    assert block.role == "network"


def test_a_matrix_and_what_is_added_to_its_product_are_one_block() -> None:
    for name in (
        "F.linear with a shift",
        "matmul and a shift",
        "a shift in place",
        "addmm",
        "einsum",
        "gain",
    ):
        jac = jacobian(zoo.build(*zoo.PRODUCTS[name], 2), inputs(9))
        (block,) = of_table(jac)
        assert [parameter.name for parameter in block.parameters] == ["p", "shift"], name


@pytest.mark.filterwarnings("ignore::ntkspec.export.ExportWarning")
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("name", zoo.LEAKS)
def test_other_uses_are_dense_and_right(name: str, c: int) -> None:
    shape, function = zoo.LEAKS[name]
    model, x = zoo.build(shape, function, c), inputs(9)
    jac = jacobian(model, x)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    (block,) = of_table(jac)
    assert not block.left.arrays
    assert isinstance(block.right, DenseFactor)
    assert block.role == "network"


def test_what_samples_have_in_common_is_no_grid() -> None:
    """A position is read, by every sample the same; which numbers are read makes a grid."""

    def positions(m: Any, x: Tensor) -> Tensor:
        return x[:, :1] * m.p[torch.arange(zoo.WIDTH).expand(len(x), -1)]

    model = zoo.build((zoo.WIDTH,), positions, 1)
    (block,) = of_table(jacobian(model, inputs(9)))
    assert isinstance(block.right, SparseFactor)
    assert block.role == "network"
    assert of_table(jacobian(model, inputs(9), roles={"p": "positions"}))[0].role == "positions"


def test_gradients_that_vanish_make_no_grid() -> None:
    """Every sample reads all positions; behind a ReLU some of them have no gradient."""

    def positions(m: Any, x: Tensor) -> Tensor:
        return torch.relu(9 * (x[:, :1] - 0.5) + m.p[torch.arange(zoo.WIDTH).expand(len(x), -1)])

    model, x = zoo.build((zoo.WIDTH,), positions, 1), inputs(23)
    jac = jacobian(model, x)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    (block,) = of_table(jac)
    reads = {frozenset(row[row >= 0].tolist()) for row in block.right.indices[:]}
    assert len(reads) > 1
    assert block.role == "network"


@pytest.mark.parametrize("n", [2, 4, 7, 23])
def test_numbers_that_a_sample_reads_as_often_as_there_are_samples_make_a_grid(n: int) -> None:
    def row(m: Any, x: Tensor) -> Tensor:
        return m.p[(x[:, :1] * zoo.ROWS).long().expand(-1, n)].mean(1)

    x = torch.linspace(0, 0.9, 2 * n).view(n, 2)
    for chunk in (None, 2):
        (block,) = of_table(jacobian(zoo.build((zoo.ROWS, zoo.WIDTH), row, 1), x, chunk=chunk))
        assert block.role == "grid"


@pytest.mark.parametrize("chunk", [None, 7, 1])
def test_one_sample_that_reads_other_numbers_makes_a_grid(chunk: int | None) -> None:
    def codes(m: Any, x: Tensor) -> Tensor:
        rare = (x[:, 0] == 0.123).long()  # which no probe sees
        return torch.sin(x[:, :1] + m.p[rare])

    model, x = zoo.build((2, zoo.WIDTH), codes, 2), inputs(23)
    jac = jacobian(model, x, chunk=chunk)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    assert {block.role for block in of_table(jac)} == {"grid"}


def test_levels_of_one_table_are_blocks_of_their_own() -> None:
    """Slices of equally many rows, in order, each of weights and a gradient."""
    shape, function, width = zoo.LOOKUPS["levels of one table"]
    jac = jacobian(zoo.build(shape, function, 2, width), inputs(14))
    assert jac.names[:2] == ("p[0:20]", "p[20:40]")
    for block in of_table(jac):
        assert isinstance(block.left, SparseFactor)
        assert block.right.values.shape == (14, 2, zoo.WIDTH)
        assert block.parameters[0].shape == (20, zoo.WIDTH)
        np.testing.assert_allclose(block.left.values[:].sum(axis=2), 1, rtol=1e-12)  # as an interpolation's


@pytest.mark.parametrize(
    "name", ["F.embedding", "index, features first", "bilinear", "trilinear", "planes in a batch"]
)
def test_an_interpolation_is_weights_times_a_gradient(name: str) -> None:
    shape, function, width = zoo.LOOKUPS[name]
    for block in of_table(jacobian(zoo.build(shape, function, 3, width), inputs(9))):
        assert isinstance(block.left, SparseFactor)
        assert block.right.values.shape == (9, 3, zoo.WIDTH)


@pytest.mark.parametrize("make", ["own function", "function of the table"])
@pytest.mark.parametrize("c", [1, 3])
def test_rows_that_nobody_explains_are_scanned(make: str, c: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large parameter whose rows are sparse is never dense, whatever hides how it is read."""
    functions = {
        "own function": lambda m, x: zoo.OwnLookup.apply(m.p, zoo.cells(x)).sum(1),
        "function of the table": lambda m, x: torch.tanh(m.p)[zoo.cells(x)].sum(1),
    }
    monkeypatch.setattr(probe, "LARGE", 100)
    monkeypatch.setattr(probe, "SPARSE", 0.5)
    model, x = zoo.build((zoo.ROWS, zoo.WIDTH), functions[make], c), inputs(9)
    with pytest.warns(ExportWarning, match="one sample at a time"):
        jac = jacobian(model, x, chunk=4)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    (block,) = of_table(jac)
    assert isinstance(block.left, SparseFactor) or isinstance(block.right, SparseFactor)
    assert block.role == "grid"


def test_tables_that_are_added_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd gives both one tensor as their gradient."""
    monkeypatch.setattr(probe, "LARGE", 100)
    monkeypatch.setattr(probe, "SPARSE", 0.5)
    model = zoo.build((zoo.ROWS, zoo.WIDTH), lambda m, x: (m.p + m.more)[zoo.cells(x)].sum(1), 2)
    model.more = nn.Parameter(torch.ones(zoo.ROWS, zoo.WIDTH))
    with pytest.warns(ExportWarning, match="one sample at a time"):
        jac = jacobian(model, inputs(9))
    assert_kernels(jac, rows_by_autograd(model, inputs(9)), 1e-12)
    assert all("sparse" in jac[name].kinds for name in ("p", "more"))


def test_longer_rows_than_the_probe_has_seen_find_room() -> None:
    def unequal(m: Any, x: Tensor) -> Tensor:
        links = zoo.cells(x, 8)
        mask = torch.arange(8) < torch.where(x[:, :1] == 0.123, 8, 1)  # which no probe sees
        out = x.new_zeros(len(x), 8, zoo.WIDTH)
        out[mask] = m.p[links[mask]]
        return out.sum(1)

    model, x = zoo.build((zoo.ROWS, zoo.WIDTH), unequal, 2), inputs(23)
    assert_kernels(jacobian(model, x, chunk=3), rows_by_autograd(model, x), 1e-12)


def test_a_table_that_only_some_samples_read() -> None:
    def rare(m: Any, x: Tensor) -> Tensor:
        h = torch.sin(F.pad(x, (0, 1)))
        seen = x[:, 0] == 0.123  # by no probe
        return torch.where(seen[:, None], m.p[zoo.cells(x)].sum(1), h) if bool(seen.any()) else h

    model, x = zoo.build((zoo.ROWS, zoo.WIDTH), rare, 2), inputs(23)
    for chunk in (5, 1):
        jac = jacobian(model, x, chunk=chunk)
        assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
        assert {block.role for block in of_table(jac)} == {"grid"}


def test_max_norm_and_rows_that_nobody_reads() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(50, 3, max_norm=1.0), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(torch.tanh(self.table(zoo.cells(x))).sum(1))
            return out

    torch.manual_seed(3)
    model, x = Named(), inputs(9)
    before = model.table.weight.detach().clone()
    jac = jacobian(model, x)
    assert torch.equal(model.table.weight, before)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    assert jac["table"].role == "grid"
    assert jac["table"].right.indices[:].max() < 3 * zoo.ROWS - 3


def _wavelet(m: Any, x: Tensor) -> Tensor:
    """As in WIRE (Saragadam et al. 2023)."""
    h = m.embed(x).to(torch.complex128)
    z = torch.addmm(m.gain, h * (1 + 0.5j), m.p) if m.gain.is_complex() else h * 1j @ m.p.to(h.dtype)
    return torch.exp(1j * z - 0.1 * z.abs().square()).real[:, : zoo.WIDTH]


@pytest.mark.filterwarnings("ignore::ntkspec.export.ExportWarning")
@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("name", ["complex", "real matrix", "small", "lookup"])
def test_complex_parameters_are_pairs_of_reals(name: str, c: int) -> None:
    """A product's real and imaginary parts are two uses; where pairs do not pay, rows are written out."""
    model, x = zoo.several(_wavelet, c), inputs(9)
    if name != "real matrix":
        model.p = nn.Parameter(model.p * (1 + torch.randn(zoo.SIDE, zoo.SIDE) * 1j))
        model.gain = nn.Parameter(model.gain * 1j)
    if name == "small":
        model.p = nn.Parameter(model.p[:, :2].detach())
        model.gain = nn.Parameter(model.gain[:2].detach())
        model.function = lambda m, x: F.pad(_wavelet(m, x), (0, 1))
    if name == "lookup":
        model.function = lambda m, x: m.p[zoo.cells(x) % zoo.SIDE].sum(1).real[:, : zoo.WIDTH]
    jac = jacobian(model, x, chunk=5)
    exact = model._apply(lambda t: t.to(torch.complex128) if t.is_complex() else t.double())
    assert_kernels(jac, rows_by_autograd(exact, x), 1e-12)
    (block,) = of_table(jac)
    assert block.parameters[0].shape == (*model.p.shape, 2) if model.p.is_complex() else model.p.shape
    assert isinstance(block.right, PairsFactor if name in ("complex", "real matrix") else DenseFactor)


@settings(max_examples=60, deadline=None)
@given(
    d=st.sampled_from([2, 3]),
    mode=st.sampled_from(["bilinear", "nearest", "bicubic"]),
    padding=st.sampled_from(["zeros", "border", "reflection"]),
    aligned=st.booleans(),
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    batch=st.integers(1, 2),
    reach=st.sampled_from([0.9, 1.0, 3.7]),
    seed=st.integers(0, 1000),
)
def test_what_grid_sample_reads(
    d: int, mode: str, padding: str, aligned: bool, sizes: list[int], batch: int, reach: float, seed: int
) -> None:
    """Weights times numbers are what torch samples, for every mode, padding, size and point."""
    mode = "bilinear" if d == 3 and mode == "bicubic" else mode
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(batch, 2, *sizes[:d], dtype=torch.float64, generator=generator).requires_grad_()
    points = (
        torch.rand(batch, *[1] * (d - 1), 9, d, dtype=torch.float64, generator=generator) * 2 - 1
    ) * reach
    if mode == "nearest":
        points += 1e-3  # ties may go either way
    out = F.grid_sample(table, points, mode=mode, padding_mode=padding, align_corners=aligned)
    positions = torch.arange(table.numel(), dtype=torch.int32).view(table.shape)
    where, weights = sampled(out.grad_fn, positions)
    numbers = torch.where(where >= 0, table.detach().flatten()[where.clamp(min=0).long()], 0.0)
    torch.testing.assert_close((numbers * weights).sum(-1), out.detach(), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    n=st.integers(1, 5),
    c=st.integers(1, 3),
    k=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_products_of_weights_and_gradients_are_found_and_nothing_else(
    shape: list[int], n: int, c: int, k: int, seed: int
) -> None:
    """Factors multiply to the rows that they were made of; rows that are no products have none."""
    generator = torch.Generator().manual_seed(seed)
    size = int(np.prod(shape))
    axis = seed % len(shape)
    layout = Layout(int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :])), 1)
    nodes = torch.randint(layout.rows, (n, k), generator=generator)
    weight = torch.randn(n, k, dtype=torch.float64, generator=generator)
    gradient = torch.randn(n, c, layout.features, dtype=torch.float64, generator=generator)
    before, after = nodes // layout.after, nodes % layout.after
    place = (before[..., None] * layout.features + torch.arange(layout.features)) * layout.after + after[
        ..., None
    ]
    values = weight[:, :, None, None] * gradient.movedim(1, 2)[:, None]  # (n, k, F, c)
    owner = torch.arange(n)[:, None, None].expand(place.shape)
    rows = padded(owner.flatten(), place.flatten(), values.flatten(0, 2), n, size)
    (level,) = factorise(rows, layout, 1e-12) or [None]
    assert level is not None
    written = torch.zeros(n, c, size, dtype=torch.float64)
    sample, node, weights = level.left.entries()
    for i, row, one in zip(sample, node, weights[:, 0], strict=True):
        columns = (row // layout.after * layout.features + torch.arange(layout.features)) * layout.after
        written[i][:, columns + row % layout.after] += one * level.right[i]
    expected = torch.zeros_like(written)
    for i, position, value in zip(*rows.entries(), strict=True):
        expected[i, :, position] += value
    torch.testing.assert_close(written, expected, rtol=0, atol=1e-11)
    if k > 1 and layout.features * c > 1 and len(set(nodes[0].tolist())) > 1:
        noise = torch.randn(rows.values.shape, dtype=torch.float64, generator=generator)
        assert factorise(type(rows)(rows.indices, rows.values + noise, size), layout, 1e-12) is None


def test_a_layout_that_takes_more_room_is_not_taken() -> None:
    rows = padded(torch.arange(4), torch.arange(4), torch.ones(4, 1, dtype=torch.float64), 4, 12)
    assert find_layout(rows, (4, 3), [], 1e-12) is None  # one number a row


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 4097])
@pytest.mark.parametrize(
    ("dtype", "factor"),
    [(torch.float64, 1.0), (torch.float64, 1e-310), (torch.float32, 1.0), (torch.float32, 1e-40)],
)
def test_owners(n: int, dtype: torch.dtype, factor: float) -> None:
    """Of numbers in any order; not of a number that samples share, nor of one that has no gradient."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    x = torch.rand(n, 1, dtype=dtype, generator=torch.Generator().manual_seed(2)).requires_grad_()
    moved = x[order].T * 3
    outputs = moved.T[order.argsort()] * torch.arange(1, 3) * factor

    def backward(v: Tensor) -> list[Tensor]:
        (gradient,) = torch.autograd.grad(outputs, moved, v, retain_graph=True)
        apart = torch.cat([gradient, torch.zeros(1, n)])
        ends = gradient[
            0, [int(torch.argmin(order)), int(torch.argmax(order))]
        ]  # the first and the last sample
        return [apart, gradient.sum()[None], ends.sum()[None]]

    nonzero = [gradient != 0 for gradient in backward(torch.ones_like(outputs))]
    apart, *shared = owners(outputs, backward, nonzero)
    assert apart is not None
    assert torch.equal(apart[0], order)
    assert (apart[1] == -1).all()
    assert [owner is None for owner in shared] == [n > 1, n > 1]


@pytest.mark.parametrize(("precision", "strength"), [("float64", 1e-300), ("float32", 1e-36)])
def test_small_gradients_of_a_table_are_kept(precision: Any, strength: float) -> None:
    """Those of some samples are small, those of others are not: all of them are in the sparse block."""

    def function(m: Any, x: Tensor) -> Tensor:
        small = torch.where(x[:, :1] > 0.5, torch.tensor(strength, dtype=x.dtype), torch.ones_like(x[:, :1]))
        return m.p[zoo.cells(x)].sum(1) * small

    model, x = zoo.build((zoo.ROWS, zoo.WIDTH), function, 1), inputs(24)
    found = jacobian(model, x, precision=precision)["p"]
    kind = _double if precision == "float64" else copy.deepcopy
    model, expected = kind(model), np.zeros(found.to_dense().shape)
    for i, sample in enumerate(x.to(model.p.dtype)):
        (gradient,) = torch.autograd.grad(model(sample[None])[0, 0], model.p)
        expected[i, 0] = gradient.flatten().numpy()
    assert "sparse" in found.kinds
    assert 0 < np.abs(expected[expected != 0]).min() < 2 * strength
    np.testing.assert_allclose(found.to_dense(), expected, rtol=1e-4)


def test_every_use_is_seen() -> None:
    """A survey names what each parameter goes through, and forgets none."""
    model = prepare(zoo.build(*zoo.LEAKS["table and its mean"], 1), "float64")
    found = survey(model.model(inputs(5)), model.trainable)
    assert found.others["p"].reason.startswith("used 2 times, by")
    assert set(found.forms) == {"p", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"}


def test_a_forecast_is_what_comes() -> None:
    """Names, roles and bytes of all samples, though only a few were looked at."""
    for name in ("F.embedding", "levels of one table", "mask", "bicubic", "F.linear with a shift"):
        shape, function, *width = (zoo.LOOKUPS | zoo.PRODUCTS)[name]
        model, x = zoo.build(shape, function, 2, *width), inputs(60)
        foretold, jac = forecast(model, x), jacobian(model, x)
        assert [block.name for block in foretold.blocks] == list(jac.names)
        assert [block.role for block in foretold.blocks] == [block.role for block in jac]
        assert foretold.bytes == pytest.approx(jac.nbytes, rel=0.2 if name == "mask" else 1e-9)
        assert 0 <= foretold.seconds < np.inf
        assert foretold.warnings == ()
        assert "60 samples, 2 outputs" in str(foretold)


def test_large_files_are_told_of_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the parameter, why it is large, and what to do; before a sample of the export is computed."""
    model, x = zoo.build(*zoo.LEAKS["table and its mean"], 1), inputs(9)
    monkeypatch.setattr(foretold_module, "WORTH_A_LOOK", 1000)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_chunks", stop)
    with pytest.warns(
        ExportWarning, match=r"of it for p, dense because: used 2 times, .*, or take fewer samples"
    ):
        with pytest.raises(KeyboardInterrupt):
            jacobian(model, x)
    monkeypatch.setattr(foretold_module, "WORTH_A_LOOK", 10**8)
    monkeypatch.setattr(foretold_module, "WORTH_A_WARNING", 1000)
    with pytest.warns(ExportWarning, match=r"a snapshot takes .* KiB"), pytest.raises(KeyboardInterrupt):
        jacobian(zoo.build(*zoo.PRODUCTS["F.linear"], 1), x)


def test_a_refusal_names_the_size_of_the_whole() -> None:
    model = zoo.build(*zoo.LEAKS["table and its mean"], 1)
    with pytest.raises(MemoryBudgetError, match=r"of one sample, of .* MiB for all 2000, .*used 2 times"):
        jacobian(model, inputs(2000), memory=1e-6)


@pytest.mark.filterwarnings("ignore::ntkspec.export.ExportWarning")
@pytest.mark.parametrize(("precision", "c"), [("float64", 1), ("float64", 3), ("float32", 2)])
@pytest.mark.parametrize("name", zoo.SEVERAL)
def test_a_matrix_that_a_sample_uses_several_times_is_stored_as_its_pairs(
    name: str, c: int, precision: Any
) -> None:
    function, uses = zoo.SEVERAL[name]
    model, x = zoo.several(function, c), inputs(13)
    jac = jacobian(model, x, precision=precision, chunk=5)
    assert_kernels(jac, rows_by_autograd(model, x), PRECISIONS[precision])
    (block,) = of_table(jac)
    if uses == 1:
        assert isinstance(block.left, DenseFactor)
    else:
        assert isinstance(block.right, PairsFactor)
        assert block.right.uses == uses
    together = {parameter.name for parameter in block.parameters}
    assert together == ({"p", "gain"} if "gain" in inspect.getsource(function) and uses == 3 else {"p"})


def test_a_model_that_takes_its_batch_in_pieces_has_factors() -> None:
    """As NeRF does; the few samples that are looked at first are a single piece."""

    def in_pieces(m: Any, x: Tensor) -> Tensor:
        return torch.cat([torch.tanh(m.embed(piece) @ m.p + m.gain) for piece in x.split(8)])[:, : zoo.WIDTH]

    model, x = zoo.several(in_pieces, 2), inputs(20)
    jac = jacobian(model, x, chunk=20)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    assert {block.kinds for block in jac} == {("dense", "dense")}  # two factors, each with its numbers
    assert all(block.left.arrays for block in jac)


def test_uses_are_stored_in_the_same_order_every_time() -> None:
    """Not in that of their addresses in memory: a file is the same when it is made again."""
    function, _ = zoo.SEVERAL["steps of a recurrence"]
    found, kept = [], []
    for count in range(4):
        kept.append([torch.rand(3, requires_grad=True).exp() for _ in range(count)])
        (block,) = of_table(jacobian(zoo.several(function, 1), inputs(6)))
        found.append(block.right.load().arrays)
    assert all(np.array_equal(arrays[name], found[0][name]) for arrays in found for name in arrays)


def test_transformers_export(tmp_path: Path) -> None:
    """Attention and feed-forward layers as pairs, within the size that was foretold."""
    torch.manual_seed(4)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.Linear(2, 96), nn.Unflatten(1, (3, 32)), layer, nn.Flatten(), nn.Linear(96, 2))
    x = inputs(8)
    jac = jacobian(model, x)
    assert_kernels(jac, rows_by_autograd(model.eval(), x), 1e-12)
    pairs = {block.name for block in jac if isinstance(block.right, PairsFactor)}
    assert pairs == {"2.self_attn", "2.self_attn.out_proj", "2.linear1", "2.linear2"}
    with RunExporter(tmp_path / "run.h5", inputs=x) as run:
        run.snapshot(model, step=0, label="init")
    with open_run(tmp_path / "run.h5") as stored:
        assert np.array_equal(stored.snapshot("init").jacobian.load().to_dense(), jac.to_dense())
    assert forecast(model, x).bytes < jac.nbytes / 4


def test_a_matrix_that_is_used_too_often_is_dense() -> None:
    """Where pairs would take more than half of the room of a dense row."""
    model = zoo.several(lambda m, x: (zoo._tokens(x, zoo.SIDE, 9) @ m.p).tanh().sum(1)[:, : zoo.WIDTH], 1)
    (block,) = of_table(jacobian(model, inputs(5)))
    assert isinstance(block.right, DenseFactor)
    assert block.left.arrays == {}


def test_many_ways_through_the_graph_are_searched_once() -> None:
    """There are 2^40 of them."""

    def in_halves(m: Any, x: Tensor) -> Tensor:
        table = m.p
        for _ in range(40):
            table = torch.cat(torch.split(table + 1.0, zoo.ROWS // 2))
        return table[zoo.cells(x)].sum(1)

    model = zoo.build((zoo.ROWS, zoo.WIDTH), in_halves, 1)
    jac = jacobian(model, inputs(5))
    assert_kernels(jac, rows_by_autograd(model, inputs(5)), 1e-12)


@pytest.mark.parametrize("combine", [torch.cat, lambda tables: torch.stack(tables).flatten(0, 1)])
def test_several_tables_that_are_read_as_one(combine: Any) -> None:
    """Their gradients are views of one, into which nothing may be written past their ends."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p, self.q = nn.Parameter(torch.randn(20, 3)), nn.Parameter(torch.randn(20, 3))
            self.head = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(combine([self.p, self.q])[zoo.cells(x)].sum(1))
            return out

    torch.manual_seed(8)
    model, x = Two(), inputs(12)
    jac = jacobian(model, x)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    assert jac["p"].role == jac["q"].role == "grid"


@pytest.mark.parametrize("how", ["slices", "offsets", "leading axis"])
def test_levels_that_are_read_one_after_another(how: str) -> None:
    """Six of them, in a loop, become six blocks of weights and a gradient."""
    levels, rows = 6, 25

    def read(m: Any, x: Tensor) -> Tensor:
        tables = {
            "slices": lambda level: m.p[level * rows : (level + 1) * rows][zoo.cells(x) % rows],
            "offsets": lambda level: m.p[level * rows + zoo.cells(x) % rows],
            "leading axis": lambda level: m.p[level][zoo.cells(x) % rows],
        }
        found = [(tables[how](level) * zoo.weights(x + level)[..., None]).sum(1) for level in range(levels)]
        return torch.cat(found, 1)

    shape = (levels, rows, zoo.WIDTH) if how == "leading axis" else (levels * rows, zoo.WIDTH)
    model, x = zoo.build(shape, read, 2, levels * zoo.WIDTH), inputs(12)
    jac = jacobian(model, x)
    assert_kernels(jac, rows_by_autograd(model, x), 1e-12)
    assert [block.right.width for block in of_table(jac)] == [zoo.WIDTH] * levels


def test_scanned_rows_hold_a_place_once_for_all_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LARGE", 100)
    monkeypatch.setattr(probe, "SPARSE", 0.2)
    model = zoo.build((zoo.ROWS, zoo.WIDTH), lambda m, x: torch.tanh(m.p)[zoo.cells(x)].prod(1), 8)
    with pytest.warns(ExportWarning, match="one sample at a time"):
        (block,) = of_table(jacobian(model, inputs(9)))
    assert block.right.entries <= 4 * zoo.WIDTH


def test_a_large_parameter_whose_rows_are_full_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first row, and without keeping it."""
    monkeypatch.setattr(probe, "LARGE", 100)
    looked: list[int] = []
    alone = dense._gradients_alone

    def counted(model: nn.Module, owned: Any, *arguments: Any, **options: Any) -> Any:
        looked.append(len(owned))
        return alone(model, owned, *arguments, **options)

    monkeypatch.setattr(dense, "_gradients_alone", counted)
    shape, function = zoo.LEAKS["table and its mean"]
    (block,) = of_table(jacobian(zoo.build(shape, function, 2), inputs(9)))
    assert isinstance(block.right, DenseFactor)
    assert set(looked) == {1}


def test_a_difference_is_a_shift() -> None:
    model = zoo.build((zoo.D, zoo.WIDTH), lambda m, x: torch.tanh(x @ m.p - m.shift), 2)
    jac = jacobian(model, inputs(9))
    assert_kernels(jac, rows_by_autograd(model, inputs(9)), 1e-12)
    assert jac.names == ("p", "body.0", "body.2")


@pytest.mark.parametrize(
    ("fixed", "each"),
    [(0.0, 0.001), (0.2, 0.0001), (0.5, 0.0), (0.001, 0.00001), (3.0, 0.0), (3.0, 0.01), (0.0, 2.0)],
)
@pytest.mark.parametrize(("at_once", "samples"), [(1000, 1000), (256, 20_000), (1, 50)])
def test_seconds_are_foretold(
    fixed: float, each: float, at_once: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of work that takes so long a chunk and so long a sample, on a clock that is a little uneven."""
    clock, noise = [0.0], itertools.cycle([1.01, 0.99, 1.0])

    def work(count: int) -> None:
        clock[0] += (fixed + each * count) * next(noise)

    monkeypatch.setattr(foretold_module.time, "perf_counter", lambda: clock[0])
    real = fixed * -(-samples // at_once) + each * samples
    assert foretold_module.seconds_for(work, at_once, samples) == pytest.approx(real, rel=0.5)


class Modulated(nn.Module):
    """A network whose units are scaled by layers of a latent code that all samples share."""

    def __init__(self, expanded: bool) -> None:
        super().__init__()
        self.code, self.expanded = nn.Parameter(torch.randn(1, 4)), expanded
        self.scales, self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5)), nn.Linear(2, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        code = self.code.expand(len(x), -1) if self.expanded else self.code
        out: Tensor = self.last(torch.sin(self.body(x) * self.scales(code)))
        return out


def test_the_advice_on_what_all_samples_share_gives_factors() -> None:
    torch.manual_seed(0)
    model, advised = Modulated(expanded=False), Modulated(expanded=True)
    advised.load_state_dict(model.state_dict())
    blocks = {block.name: block for block in forecast(model, inputs(9)).blocks}
    assert "expand(len(x), -1)" in blocks["scales.0"].remedy
    assert "expand(len(x), -1)" in blocks["scales.2"].remedy
    kinds = {block.name: block.kind for block in forecast(advised, inputs(9)).blocks}
    assert (blocks["scales.2"].kind, kinds["scales.2"]) == ("dense", "factors")
    for one in (model, advised):
        assert_kernels(jacobian(one, inputs(9)), rows_by_autograd(one, inputs(9)), 1e-12)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("older", [True, False])
def test_the_advice_on_weight_norm_can_be_followed(older: bool) -> None:
    utils = nn.utils
    norm = utils.weight_norm if older else utils.parametrizations.weight_norm
    model = nn.Sequential(norm(nn.Linear(2, 5)), nn.Tanh(), nn.Linear(5, 1))
    remedies = " ".join(block.remedy for block in forecast(model, inputs(9)).blocks)
    if older:
        assert "remove_weight_norm" in remedies
        utils.remove_weight_norm(model[0])
    else:
        assert "remove_parametrizations" in remedies
        utils.parametrize.remove_parametrizations(model[0], "weight")
    assert {block.kind for block in forecast(model, inputs(9)).blocks} == {"factors"}


def test_positions_in_large_tables_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each size, however many tables take turns."""
    made: list[int] = []
    monkeypatch.setattr(driver, "forget_numbers", lambda: made.append(find._numbers.cache_info().misses))

    def both(m: Any, x: Tensor) -> Tensor:
        out: Tensor = m.p[zoo.cells(x)].sum(1) + m.other[zoo.cells(x)].sum(1)
        return out

    model = zoo.build((zoo.ROWS, zoo.WIDTH), both, 1)
    model.other = nn.Parameter(torch.randn(2 * zoo.ROWS, zoo.WIDTH))
    find.forget_numbers()
    jacobian(model, inputs(9))
    find.forget_numbers()
    sizes = {parameter.numel() for parameter in model.parameters()}
    assert 2 <= made[0] <= len(sizes)


def test_many_tables_take_no_more_tries_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    compute = probe.compute

    def counted(*arguments: Any, **options: Any) -> Any:
        tries[-1] += 1
        return compute(*arguments, **options)

    monkeypatch.setattr(probe, "compute", counted)
    for count in (1, 6):
        tries.append(0)
        tables = nn.ModuleList([nn.Embedding(zoo.ROWS, zoo.WIDTH) for _ in range(count)])

        def function(m: Any, x: Tensor) -> Tensor:
            out: Tensor = sum((table(zoo.cells(x)).sum(1) for table in m.tables), torch.tanh(x @ m.p))
            return out

        model = zoo.build((zoo.D, zoo.WIDTH), function, 1)
        model.tables = tables
        assert_kernels(jacobian(model, inputs(9)), rows_by_autograd(model, inputs(9)), 1e-12)
    assert tries[0] == tries[1]


def test_advice_on_a_plane_is_not_to_change_the_model() -> None:
    model = zoo.build(zoo.PLANE, lambda m, x: zoo._plane(m, x, m.p.exp(), align_corners=True), 1)
    (block,) = [one for one in forecast(model, inputs(9)).blocks if one.name == "p"]
    assert "before weighting them" in block.remedy
    table = zoo.build((zoo.ROWS, zoo.WIDTH), lambda m, x: m.p.exp()[zoo.cells(x)].sum(1), 1)
    (block,) = [one for one in forecast(table, inputs(9)).blocks if one.name == "p"]
    assert "apply Exp to what was read" in block.remedy


def test_matrices_made_of_parameters_are_not_used_by_samples() -> None:
    """As in LoRA: W + A B, of which A multiplies B."""
    model = zoo.build((zoo.D, 1), lambda m, x: x @ (m.w + m.p @ m.q), 1)
    model.w, model.q = nn.Parameter(torch.randn(zoo.D, zoo.WIDTH)), nn.Parameter(torch.randn(1, zoo.WIDTH))
    reasons = {block.name: block.reason for block in forecast(model, inputs(9)).blocks}
    assert not any("times" in reason for reason in reasons.values())
    assert_kernels(jacobian(model, inputs(9)), rows_by_autograd(model, inputs(9)), 1e-12)
