"""Lookups and linear maps at their limits: nothing read, numbers beyond range, hooks, late surprises."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import uses_zoo as zoo
from export_zoo import inputs
from test_export_uses import assert_kernels, of_table, rows_by_autograd
from torch import Tensor, nn

from ntkspec import gram
from ntkspec.export import ExportWarning, budget, forecast, jacobian, matrices, probe
from ntkspec.export import foretold as foretold_module
from ntkspec.jacobian import DenseFactor, PairsFactor, SparseFactor

TABLE = (zoo.ROWS, zoo.WIDTH)
pytestmark = pytest.mark.filterwarnings("ignore::ntkspec.export.ExportWarning")


def checked(model: nn.Module, x: Tensor, relative: float = 1e-12, **options: Any) -> Any:
    """The Jacobian, once its kernels are autograd's."""
    jac = jacobian(model, x, **options)
    assert_kernels(jac, rows_by_autograd(model, x), relative)
    return jac


def is_sparse(block: Any) -> bool:
    return isinstance(block.left, SparseFactor) or isinstance(block.right, SparseFactor)


def masked(condition: Any) -> Any:
    """A lookup that only the samples of a condition on x make."""

    def function(m: Any, x: Tensor) -> Tensor:
        links = zoo.cells(x)
        mask = condition(x)[:, None] & (links >= 0)
        out = x.new_zeros(*links.shape, zoo.WIDTH)
        out[mask] = m.p[links[mask]]
        return zoo._summed(out, x)

    return function


@pytest.mark.parametrize("scale", [1e21, 1e-21])
def test_numbers_whose_squares_leave_the_range(scale: float) -> None:
    model = zoo.build(TABLE, lambda m, x: zoo._summed(m.p[zoo.cells(x)], x), 1)
    model.body = nn.Sequential(nn.Linear(zoo.WIDTH, 1))
    function = model.function
    model.function = lambda m, x: function(m, x) * scale
    (block,) = of_table(jacobian(model, inputs(9), precision="float32"))
    double = of_table(jacobian(model, inputs(9)))[0].to_dense()
    assert isinstance(block.left, SparseFactor)
    np.testing.assert_allclose(block.to_dense(), double, rtol=0, atol=2e-5 * np.abs(double).max())


@pytest.mark.parametrize(
    "condition",
    [lambda x: x[:, 0] == 0.123, lambda x: x[:, 0] > 0.5, lambda x: x[:, 0] > 0.97],
    ids=["one sample that no probe sees", "half of them", "few"],
)
def test_samples_that_read_nothing(condition: Any) -> None:
    """In whole chunks, and in all that the probe sees."""
    x = inputs(60)
    x = x[x[:, 0].argsort()]
    jac = checked(zoo.build(TABLE, masked(condition), 2), x, chunk=9)
    (block,) = of_table(jac)
    assert is_sparse(block)
    assert block.role == "grid"
    assert all(isinstance(jac[name].left, DenseFactor) for name in ("body.0", "body.2"))


def test_an_axis_of_length_zero() -> None:
    empty = zoo.build(
        TABLE, lambda m, x: zoo._summed(m.p[zoo.cells(x)], x) + m.p[zoo.cells(x)[:, :0]].sum(1), 1
    )
    checked(empty, inputs(9))
    checked(zoo.build((0, 3), lambda m, x: F.pad(x, (0, 1)) + m.p.sum(0), 1), inputs(5))


def test_scales_that_are_numbers_in_the_graph() -> None:
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.script(_doubled)
    for scale in (
        scripted,
        lambda p: torch.ops.aten.mul.Scalar(p, 3.0),
        lambda p: torch.ops.aten.div.Scalar(p, 3.0),
    ):
        model = zoo.build(TABLE, lambda m, x, scale=scale: scale(m.p)[zoo.cells(x)].sum(1), 1)
        assert is_sparse(of_table(checked(model, inputs(7)))[0])


def _doubled(p: Tensor) -> Tensor:
    return p * 2.0


def test_a_field_that_differentiates_itself() -> None:
    def slope(m: Any, x: Tensor) -> Tensor:
        return torch.func.vmap(torch.func.grad(lambda y: torch.tanh(F.pad(y, (0, 1)) @ m.p).sum()))(x)

    model = zoo.build((zoo.WIDTH, zoo.WIDTH), lambda m, x: F.pad(slope(m, x), (0, 1)), 2)
    checked(model, inputs(6))


class Gated(nn.Module):
    """A matrix whose rows are zero for most samples, and full for the others."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.p, self.last = (
            nn.Linear(2, width),
            nn.Linear(width, width, bias=False),
            nn.Linear(width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        h = self.p(torch.tanh(self.p(h).T).T * h)
        out: Tensor = self.last(h * self.p.weight.mean()) * (x[:, :1] > 0.6).to(x.dtype)
        return out


def test_a_matrix_of_samples_that_mostly_do_not_use_it_is_no_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LARGE", 100)
    x = inputs(40)
    x = x[x[:, 0].argsort()]
    torch.manual_seed(2)
    jac = checked(Gated(20), x, chunk=10)
    assert jac["p"].role == "network"
    assert isinstance(jac["p"].right, DenseFactor)


def test_hooks_on_what_a_lookup_reads() -> None:
    """They change the gradient past the lookup, which is then not followed."""

    def hooked(m: Any, x: Tensor) -> Tensor:
        table = m.p * 2
        table.register_hook(lambda g: g * 0.5)
        return table[zoo.cells(x)].sum(1)

    (block,) = of_table(checked(zoo.build(TABLE, hooked, 2), inputs(9)))
    assert isinstance(block.right, DenseFactor)


def test_a_shift_may_have_a_role_of_its_own() -> None:
    model = zoo.build((zoo.WIDTH, zoo.D), lambda m, x: (m.p @ x.T).T + m.shift, 2)
    jac = checked(model, inputs(9), roles={"shift": "grid"})
    assert "shift" not in {
        name for name, why in _dense_reasons(model, roles={"shift": "grid"}).items() if why
    }
    assert {block.name: block.role for block in jac} == {
        "p": "network",
        "shift": "grid",
        "body.0": "network",
        "body.2": "network",
    }


@pytest.mark.parametrize("shape", [(zoo.WIDTH,), (1, zoo.WIDTH)])
def test_a_shift_of_any_shape_that_is_one_row(shape: tuple[int, ...]) -> None:
    model = zoo.build((zoo.D, zoo.WIDTH), lambda m, x: x @ m.p + m.shift, 2)
    model.shift = nn.Parameter(torch.randn(shape))
    jac = checked(model, inputs(9))
    assert [parameter.name for parameter in jac["p"].parameters] == ["p", "shift"]


def test_a_shift_of_several_uses_may_have_a_role_of_its_own() -> None:
    model = zoo.several(zoo.SEVERAL["tokens with a shift"][0], 2)
    jac = checked(model, inputs(9), roles={"gain": "grid"})
    assert jac["gain"].role == "grid"
    assert isinstance(jac["p"].right, PairsFactor)


def test_a_shift_behind_a_frozen_matrix_that_stands_first() -> None:
    model = zoo.build((zoo.WIDTH,), lambda m, x: (m.fixed @ x.T).T + m.p, 2)
    model.register_buffer("fixed", torch.randn(zoo.WIDTH, zoo.D))
    (block,) = of_table(checked(model, inputs(9)))
    assert block.widths == (1, zoo.WIDTH)


def test_what_a_late_sample_changes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning is of the file that comes, not of the one that was planned."""
    monkeypatch.setattr(foretold_module, "WORTH_A_LOOK", 10_000)

    def late(m: Any, x: Tensor) -> Tensor:
        h = m.p[zoo.cells(x)].sum(1)
        rare = x[:, :1] == 0.123
        return h + torch.where(rare, m.p.mean(0), 0.0) if bool(rare.any()) else h

    model = zoo.build(TABLE, late, 1)
    with pytest.warns(ExportWarning, match="of it for p, dense because"):
        (block,) = of_table(checked(model, inputs(40), chunk=5))
    assert isinstance(block.right, DenseFactor)


@pytest.mark.parametrize("axis", ["planes", "features first"])
def test_levels_that_are_no_slices_are_numbered(axis: str) -> None:
    def planes(m: Any, x: Tensor) -> Tensor:
        return torch.cat([zoo._summed(m.p[:, k][:, zoo.cells(x) % 20].movedim(0, 2), x) for k in range(2)], 1)

    def first(m: Any, x: Tensor) -> Tensor:
        halves = [m.p[:, half * 20 + zoo.cells(x) % 20].movedim(0, 2) for half in range(2)]
        return torch.cat([zoo._summed(half, x) for half in halves], 1)

    shape, function = ((3, 2, 20), planes) if axis == "planes" else ((3, 40), first)
    jac = checked(zoo.build(shape, function, 2, 6), inputs(12))
    assert jac.names[:2] == ("p (part 1 of 2)", "p (part 2 of 2)")
    assert [block.parameters[0].shape for block in of_table(jac)] == [(20, 3)] * 2


MOVED = {
    "rolled": lambda m, x: zoo._summed(m.p.roll(3, -2)[zoo.cells(x)], x),
    "padding first": lambda m, x: zoo._summed(
        torch.cat([m.p.new_zeros(1, zoo.WIDTH), m.p])[zoo.cells(x) + 1], x
    ),
    "unique rows": lambda m, x: zoo._summed(_unique(m.p, zoo.cells(x)), x),
    "permuted": lambda m, x: zoo._summed(m.p[torch.arange(zoo.ROWS).flip(0)][zoo.cells(x)], x),
    "straight through": lambda m, x: zoo._summed((m.p + (m.p.round() - m.p).detach())[zoo.cells(x)], x),
    "minus a constant": lambda m, x: zoo._summed((1 - m.p)[zoo.cells(x)], x),
    "largest of a bag": lambda m, x: F.embedding_bag(zoo.cells(x), m.p, mode="max"),
}


def _unique(table: Tensor, indices: Tensor) -> Tensor:
    found, inverse = indices.unique(return_inverse=True)
    return table[found][inverse]


@pytest.mark.parametrize("name", MOVED)
def test_lookups_in_what_was_looked_up_or_moved(name: str) -> None:
    (block,) = of_table(checked(zoo.build(TABLE, MOVED[name], 2), inputs(12), chunk=5))
    assert is_sparse(block)
    assert block.role == "grid"


def test_single_precision_inside_a_model_is_of_rank_one_too() -> None:
    model = zoo.build(TABLE, lambda m, x: zoo._summed(m.p.float()[zoo.cells(x)].to(x.dtype), x), 2)
    jac = jacobian(model, inputs(12))
    (block,) = of_table(jac)
    assert jac.dtype == np.float32
    assert isinstance(block.left, SparseFactor)
    dense = rows_by_autograd(model, inputs(12))["p"]
    expected = np.einsum("ncp,mcp->nm", dense, dense)
    np.testing.assert_allclose(gram(jac.only("p")), expected, rtol=0, atol=1e-5 * expected.max())


def test_several_chunks_and_outputs_of_many_samples() -> None:
    """Owners have three digits, and every chunk its own pairs."""
    model = zoo.several(
        lambda m, x: zoo.SEVERAL["tokens with a shift"][0](m, x) + m.q[zoo.cells(x)].sum(1), 2
    )
    model.q = nn.Parameter(torch.randn(zoo.ROWS, zoo.WIDTH))
    x = torch.rand(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jac = jacobian(model, x, chunk=170)
    picked = jac.rows(range(0, 500, 37))
    assert_kernels(picked, rows_by_autograd(model, x[::37]), 1e-12)
    assert isinstance(jac["p"].right, PairsFactor)


def test_tables_of_many_sizes() -> None:
    """Each has its own gradient, in whatever order they are asked for."""

    class Tables(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ParameterList(nn.Parameter(torch.randn(20 + k, 1 + k % 4)) for k in range(9))
            self.head = nn.Linear(sum(1 + k % 4 for k in range(9)), 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(torch.cat([table[zoo.cells(x) % 20].sum(1) for table in self.tables], 1))
            return out

    torch.manual_seed(1)
    jac = checked(Tables(), inputs(9))
    assert [block.role for block in jac] == ["grid"] * 9 + ["network"]


def _dense_reasons(model: nn.Module, **options: Any) -> dict[str, str]:
    return {block.name: block.reason for block in forecast(model, inputs(9), **options).blocks}


@pytest.mark.parametrize("late", ["another use", "a part", "its shift alone"])
def test_a_matrix_that_a_late_sample_uses_in_another_way(late: str) -> None:
    others: dict[str, Any] = {
        "another use": lambda m, x: x @ m.p * m.p.sum() + m.shift,
        "a part": lambda m, x: F.pad(x @ m.p[:, :1], (0, 2)) + m.shift,
        "its shift alone": lambda m, x: F.pad(x, (0, 1)) + m.shift,
    }

    def function(m: Any, x: Tensor) -> Tensor:
        rare = x[:, :1] == 0.123  # which no probe sees
        h = x @ m.p + m.shift
        return torch.where(rare, others[late](m, x), h) if bool(rare.any()) else h

    jac = checked(zoo.build((zoo.D, zoo.WIDTH), function, 2), inputs(23), chunk=4)
    assert isinstance(of_table(jac)[0].right, DenseFactor)


@pytest.mark.parametrize("shape", [(zoo.D, zoo.WIDTH), (1, zoo.WIDTH)])
def test_a_matrix_alone_that_some_chunk_does_not_use(shape: tuple[int, int]) -> None:
    """Its block has the same widths there, and is zero."""

    def function(m: Any, x: Tensor) -> Tensor:
        far, h = x[:, :1] > 0.5, F.pad(x, (0, 1))
        return torch.where(far, torch.tanh(x[:, : shape[0]] @ m.p), h) if bool(far.any()) else h

    x = inputs(23)
    jac = checked(zoo.build(shape, function, 2), x[x[:, 0].argsort()], chunk=4)
    (block,) = of_table(jac)
    assert block.widths == shape
    assert not block.to_dense()[0].any()


def test_the_sample_of_a_row() -> None:
    found = matrices._row_owner(torch.tensor([[2, 2, -1], [-1, -1, -1], [0, 0, 0]]))
    assert found is not None
    assert found.tolist() == [2, -1, 0]
    assert matrices._row_owner(torch.tensor([[0, 1], [1, 1]])) is None
    assert matrices._row_owner(torch.tensor([[0, 2], [1, 1]])) is None


def test_what_is_kept_but_once_is_no_samples() -> None:
    """A copy of a table, of which a forward pass keeps one whatever the samples."""

    def copied(m: Any, x: Tensor) -> Tensor:
        return torch.exp(m.p)[zoo.cells(x)].sum(1)

    model = zoo.build((50_000, zoo.WIDTH), copied, 1).double()
    each = budget.saved_bytes(model, inputs(40), 10**9)
    assert 100 < each < 10_000
    assert each > budget.saved_bytes(zoo.build(TABLE, copied, 1).double(), inputs(40), 10**9) / 2


class Nearest(nn.Module):
    """The row of a table that rounding chooses: 0.29 * 100 is 29 in single precision, 28.99... in double."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Parameter(torch.randn(101, 4)), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.table[(x[:, 0] * 100).long()])
        return out


def test_what_rounding_decides_is_told() -> None:
    x = torch.arange(0, 100)[:, None].float() / 100
    with pytest.warns(ExportWarning, match="other outputs for .* of 100 samples.*precision='float32'"):
        jacobian(Nearest(), x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExportWarning)
        single = jacobian(Nearest(), x, precision="float32")
        jacobian(Nearest().double(), x.double())
        jacobian(Nearest(), x[:50] + 0.004)
    rows = single["table"].left.indices[:][:, 0]
    assert rows.tolist() == (x[:, 0] * 100).long().tolist()
