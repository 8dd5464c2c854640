"""Models that have no per-sample Jacobian are refused, in one line that says what to do."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from export_zoo import Net, build, inputs
from torch import Tensor, nn

from ntkspec.errors import ExportError, MemoryBudgetError, NtkspecError, UsageError
from ntkspec.export import ExportWarning, jacobian


class Function(nn.Module):
    """One Linear layer and any forward pass."""

    def __init__(self, function: Callable[[Any, Tensor], Any], c: int = 2) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(2, c), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def _with(model: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        next(model.parameters()).view(-1)[1] = value
    return model


def _coupled_by_gradient(m: Any, x: Tensor) -> Tensor:
    """The outputs are right sample by sample, their gradients are not."""
    y = m.linear(x)
    return y + (y.mean(0) - y.mean(0).detach())


def _with_attribute(value: Any) -> nn.Module:
    model = nn.Linear(2, 1)
    model.extra = value
    return model


def _derived() -> nn.Module:
    model = Function(lambda m, x: torch.tanh(x @ m.view))
    model.view = model.linear.weight.T * 1
    return model


def _scripted() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        scripted: nn.Module = torch.jit.script(nn.Linear(2, 1))
    return scripted


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.attention = nn.Linear(2, 4), nn.MultiheadAttention(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        out: Tensor = self.attention(h, h, h)[0]  # 2-D: the batch is the sequence
        return out


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "NaN weight": (lambda: _with(build("tanh"), float("nan")), "parameter 0.weight: expected finite"),
    "infinite weight": (lambda: _with(build("tanh"), float("inf")), "NaN or Inf in 1 of 12 places"),
    "no parameters": (nn.Identity, "no parameters"),
    "all frozen": (lambda: nn.Linear(2, 1).requires_grad_(False), "requires_grad_"),
    "no module": (lambda: torch.sin, "torch.nn.Module"),
    "scripted": (_scripted, "torch.jit"),
    "lazy": (lambda: nn.LazyLinear(3), "run the model once"),
    "outputs (n,)": (lambda: Function(lambda m, x: m.linear(x)[:, 0]), "unsqueeze"),
    "outputs (n, c, 1)": (lambda: Function(lambda m, x: m.linear(x)[..., None]), "shape (7, 2, 1)"),
    "outputs (1, c)": (lambda: Function(lambda m, x: m.linear(x).sum(0, keepdim=True)), "shape (1, 2)"),
    "no outputs": (lambda: Function(lambda m, x: m.linear(x)[:, :0]), "shape (7, 0)"),
    "tuple": (lambda: Function(lambda m, x: (m.linear(x),)), "got a tuple"),
    "integers": (lambda: Function(lambda m, x: m.linear(x).argmax(1, keepdim=True)), "got int64"),
    "half outputs": (lambda: Function(lambda m, x: m.linear(x).half()), "got float16"),
    "complex outputs": (lambda: Function(lambda m, x: m.linear(x) * 1j), "got complex"),
    "detached": (lambda: Function(lambda m, x: m.linear(x).detach()), "detach"),
    "infinite outputs": (lambda: Function(lambda m, x: m.linear(x) / 0), "finite outputs"),
    "infinite Jacobian": (
        lambda: Function(lambda m, x: torch.sqrt((m.linear(x) - m.linear(x).detach()).square())),
        "Jacobian",
    ),
    "random": (lambda: Function(lambda m, x: nn.functional.dropout(m.linear(x))), "second time"),
    "mean over the batch": (lambda: Function(lambda m, x: m.linear(x) - m.linear(x).mean(0)), "each other"),
    "coupled by gradient": (lambda: Function(_coupled_by_gradient), "gradients that change"),
    "coupled without parameters": (
        lambda: Function(lambda m, x: m.linear(x) + x.mean()),
        "outputs that change",
    ),
    "batch statistics": (
        lambda: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 1)),
        "one sample included",
    ),
    "attention across the batch": (Attention, "each other"),
    "half inside": (
        lambda: Net(lambda m, x: m.last(torch.tanh(m.first(x)).bfloat16().to(x.dtype)), width=64),
        "half-precision",
    ),
    "half inside, nearer to single": (
        lambda: Net(lambda m, x: m.last(torch.relu(m.first(x)).half().to(x.dtype)), c=1, width=16),
        "half-precision",
    ),
    "cast in the way": (lambda: Function(lambda m, x: m.linear(x.float())), "precision='float32'"),
    "raises": (lambda: Function(lambda m, x: m.missing(x)), "AttributeError"),
    "backward raises": (lambda: Function(lambda m, x: torch.tanh(m.linear(x)).add_(1)), "backward"),
    "cannot be copied": (lambda: _with_attribute(threading.Lock()), "deepcopy"),
    "parameter view kept outside": (_derived, "outside the forward pass"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(ExportError) as caught:
        jacobian(make(), inputs(16))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert torch.get_default_dtype() == torch.float32


def _even_larger(m: Any, x: Tensor) -> Tensor:
    return m.linear(x) * (1.1 if len(x) % 2 == 0 else 1)


def _many_larger(m: Any, x: Tensor) -> Tensor:
    return m.linear(x) * (1.001 if len(x) > 8 else 1)


def _last_of_many_larger(m: Any, x: Tensor) -> Tensor:
    return m.linear(x) * (1 + 1e-3 * (len(x) == 5))


@pytest.mark.parametrize(
    ("function", "chunk", "said"),
    [
        (_even_larger, None, "outputs that change by 9.1e-02"),
        (_many_larger, None, "outputs that change by 1.0e-03"),
        (_last_of_many_larger, 11, "outputs that change by 1.0e-03"),
    ],
)
def test_functions_of_the_size_of_a_batch(function: Any, chunk: int | None, said: str) -> None:
    """No sample depends on another, but the kernel would be that of no function of one sample."""
    with pytest.raises(ExportError, match=f"{said}.* alone; remove .*, what depends on its size, and"):
        jacobian(Function(function), inputs(16), chunk=chunk)


def test_a_size_at_which_single_precision_is_used() -> None:
    model = Function(lambda m, x: m.linear(x).float().to(x.dtype) if len(x) > 8 else m.linear(x))
    with pytest.warns(ExportWarning, match="single precision alone"):
        assert jacobian(model, inputs(16)).dtype == np.float32


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(0, 2), "shape (0, 2)"),
        (torch.full((3, 2), float("nan")), "nan at [0, 0]"),
        (np.array([["a", "b"]]), "<U1"),
        (np.zeros((3, 2, 2)), "shape (3, 2, 2)"),
        (torch.zeros(3, 2, dtype=torch.complex64), "complex64"),
        (torch.zeros(3, 5), "forward pass on float64 inputs of shape (3, 5)"),
    ],
)
def test_unfit_inputs(x: Any, said: str) -> None:
    with pytest.raises((UsageError, ExportError)) as caught:
        jacobian(build("tanh"), x)
    assert said in str(caught.value)


def test_float32_takes_what_a_hard_cast_allows() -> None:
    model = Function(lambda m, x: m.linear(x.float()))
    assert jacobian(model, inputs(), precision="float32").dtype == np.float32


def test_a_cast_inside_is_found_and_stored_as_float32() -> None:
    model = Net(lambda m, x: m.last(torch.tanh(m.first(x)).float().to(x.dtype)), width=64)
    jac = jacobian(model, inputs())
    assert jac.dtype == np.float32
    assert all(block.left.arrays for block in jac)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "float16"},
        {"roles": {"nope": "x"}},
        {"roles": {"0": ""}},
        {"roles": {0: "grid"}},
        {"roles": ["grid"]},
        *({"chunk": chunk} for chunk in (0, 1.5, "a", True, 10**5000, math.inf, [2])),
        *({"memory": gib} for gib in (0.0, "4", True, 1e300, 10**400, 10**5000, math.nan)),
    ],
    ids=lambda options: next(iter(options)),
)
def test_unfit_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        jacobian(build("tanh"), inputs(), **options)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunk", [2**63 - 1, 4.0, np.int32(4), torch.tensor(4)])
def test_whole_numbers_of_any_kind_make_chunks(chunk: Any) -> None:
    assert jacobian(nn.Linear(2, 1), inputs(9), chunk=chunk).samples == 9


def test_a_dense_block_that_cannot_fit_is_refused_beforehand() -> None:
    model = nn.Sequential(
        nn.Linear(2, 2048), nn.Unflatten(1, (32, 64)), nn.Linear(64, 64), nn.Flatten(), nn.Linear(2048, 1)
    )
    with pytest.raises(MemoryBudgetError) as caught:
        jacobian(model, inputs(), memory=1e-4)
    assert "2 (4160 parameters), dense because: each sample uses it 32 times" in str(caught.value)
    assert issubclass(MemoryBudgetError, NtkspecError)


class Grid(nn.Module):
    """A table that is read, as it is or through a function of every number."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.table, self.head = nn.Parameter(torch.randn(2500, 2)), nn.Linear(2, 1)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.function(self.table)[(x[:, 0] * 2500).long()])


def test_a_grid_that_is_not_recognised_is_pointed_to_roles() -> None:
    x, hidden = torch.rand(9, 2), Grid(torch.tanh)
    assert jacobian(Grid(lambda table: table), x).roles == ("grid", "network")
    with pytest.warns(ExportWarning, match=r"roles=\{'table': 'grid'\}"):
        jacobian(hidden, x)
    assert jacobian(hidden, x, roles={"table": "grid"}).roles == ("grid", "network")


def test_sparse_gradients_of_an_embedding() -> None:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(7, 3, sparse=True), nn.Linear(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table((x[:, 0] * 7).long()))

    model, x = Lookup(), torch.rand(5, 1)
    dense = jacobian(model, x)["table"].to_dense().reshape(5, 7, 3)
    rows = (x[:, 0] * 7).long()
    for i in range(5):
        np.testing.assert_allclose(dense[i, rows[i]], model.head.weight.detach().double()[0], rtol=1e-12)
        assert np.count_nonzero(dense[i]) == 3
