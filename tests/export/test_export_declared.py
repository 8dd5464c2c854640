"""What a module declares of its lookup (`TableLookup`) is used, however often `forward` calls the module."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import uses_zoo as zoo
from export_zoo import assert_blocks, inputs, oracle
from torch import Tensor, nn

from ntkspec.export import forecast, jacobian
from ntkspec.nets.lookup import TableLookup

torch.set_num_threads(1)


class Declared(TableLookup):
    """A lookup that is declared, since nobody sees what `OwnLookup` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(zoo.ROWS, zoo.WIDTH))

    def lookup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return zoo.cells(x), zoo.weights(x).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        rows, weights = zoo.cells(x), zoo.weights(x).to(x.dtype)
        read: Tensor = zoo.OwnLookup.apply(self.table, rows)
        return (weights[..., None] * read).sum(1)


class Undeclared(Declared):
    """Declares the weights in another order than `forward` has them in."""

    def lookup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, weights = super().lookup(x)
        return rows, weights.flip(1) ** 2


class Field(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor], lookup: type[Declared] = Declared) -> None:
        super().__init__()
        self.table, self.head, self.function = lookup(), nn.Linear(zoo.WIDTH, 2), function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.tanh(self.function(self, x)))
        return out


def _weighed(m: Any, x: Tensor) -> Tensor:
    """Looks first without gradients, as for importance sampling."""
    with torch.no_grad():
        scale = m.table(x).square().sum(1, keepdim=True)
    out: Tensor = m.table(x) * scale
    return out


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.table(x),
        lambda m, x: torch.cat([m.table(piece) for piece in x.split(3)]),
        _weighed,
    ],
    ids=["once", "in pieces", "without gradients before"],
)
def test_a_declared_lookup_is_used(function: Callable[[Any, Tensor], Tensor]) -> None:
    torch.manual_seed(3)
    model, x = Field(function), inputs(10)
    jac = jacobian(model, x, chunk=8)
    _, expected = oracle(model, x)
    assert_blocks(jac, expected)
    roles = {block.name: (block.role, block.kinds) for block in jac}
    assert roles["table"] == ("grid", ("sparse", "dense"))


@pytest.mark.parametrize(
    ("model", "reason", "remedy"),
    [
        (
            lambda: Field(lambda m, x: m.table(x) + m.table(-x)),
            r"called on 1[0-9] rows for",
            "one row for each",
        ),
        (lambda: Field(lambda m, x: m.table(x), Undeclared), "not as declared", "rows and weights"),
    ],
    ids=["twice for each sample", "another lookup"],
)
def test_why_a_declared_lookup_is_not_used_is_said(
    model: Callable[[], nn.Module], reason: str, remedy: str
) -> None:
    (block,) = (block for block in forecast(model(), inputs(9)).blocks if block.name == "table")
    assert (block.kind, block.role) == ("dense", "network")
    assert re.search(reason, block.reason), block.reason
    assert remedy in block.remedy
