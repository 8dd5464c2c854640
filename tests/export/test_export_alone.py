"""The comparison of a batch with some of its samples alone, and of a model with itself after the export."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ntkspec.errors import ExportError
from ntkspec.export import jacobian
from ntkspec.export.alone import check_alone
from ntkspec.export.compute import Chunk
from ntkspec.export.evaluation import spread
from ntkspec.export.plans import Choices
from ntkspec.export.prepare import prepare
from ntkspec.nets.checkpoint import can_hold

LIMIT = 16  # samples, beyond which the models below do another thing


class Field(nn.Module):
    """A network and a table, whose features are changed before the last layer."""

    def __init__(self, change: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.table = nn.Linear(2, 8), nn.Linear(8, 1), nn.Embedding(30, 8)
        self.change, self.calls = change, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        read = self.table((29 * x[:, 0]).long())
        return self.last(self.change(self, torch.tanh(self.first(x)) + read))


class Averaged(torch.autograd.Function):
    """Gives every sample of a large batch a smaller gradient."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * min(1.0, LIMIT / len(gradient))


def _first_ones(m: Any, h: Tensor) -> Tensor:
    return torch.cat([h[:LIMIT], h[LIMIT:].detach()])  # as to save memory


def _small_alone(m: Any, h: Tensor) -> Tensor:
    return h if len(h) <= LIMIT else h.detach()


def _hooked(m: Any, h: Tensor) -> Tensor:
    if h.requires_grad:
        h.register_hook(lambda gradient: gradient * (LIMIT / max(LIMIT, len(gradient))))
    return h


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("change", [_first_ones, _small_alone, _hooked, lambda m, h: Averaged.apply(h)])
def test_gradients_that_depend_on_the_size_of_a_batch(change: Any, precision: Any) -> None:
    """Their outputs do not, and the first look is at fewer samples."""
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ExportError, match=r"gradients that change by .* when a sample is evaluated alone"):
        jacobian(Field(change), x, precision=precision)
    assert len(jacobian(Field(change), x, precision=precision, chunk=LIMIT).blocks) == 3


def _cut(m: Any, h: Tensor) -> Tensor:
    return h if len(h) == 1 else h.detach()


def _shifted(m: Any, h: Tensor) -> Tensor:
    return h + (m.table.weight[:1] - m.table.weight[:1].detach() if len(h) == 1 else 0)


@pytest.mark.parametrize("change", [_cut, _shifted])
def test_parameters_that_count_for_a_sample_alone(change: Any) -> None:
    """They were left out as unused."""
    with pytest.raises(ExportError, match="gradients that change by"):
        jacobian(Field(change), torch.rand(9, 2))


def test_samples_that_are_dropped_from_a_large_batch() -> None:
    """As by experts of a limited capacity; the sample of the largest output is not among them."""

    def crowded(m: Any, h: Tensor) -> Tensor:
        size = h.detach().square().sum(1)
        return h * (size.argsort().argsort() >= len(h) - LIMIT)[:, None]

    with pytest.raises(ExportError, match="do not depend on each other"):
        jacobian(Field(crowded), torch.rand(40, 2))


def _kinked(x: Tensor, change: Callable[[Tensor], Tensor] = lambda h: h) -> Any:
    """Return a network whose units have their kinks at the samples x (n, d), as those sampled from data."""

    class Ridges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(x.shape[1], len(x)), nn.Linear(len(x), 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(change(torch.relu(self.first(x))))

    torch.manual_seed(0)
    model = Ridges().to(x.dtype)
    ways = x.roll(1, 0) - x
    with torch.no_grad():
        model.first.weight.copy_(ways / ways.square().sum(1, keepdim=True))
        model.first.bias.copy_(-(model.first.weight * x).sum(1))
    return model


@pytest.mark.parametrize("at", [range(40), [7, 9, 16, 17, 27, 29, 36, 37]])  # in the first look, or later
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_rounding_may_put_samples_at_a_kink_on_either_side(at: Any, precision: Any) -> None:
    """Batches of another size are rounded otherwise."""
    x = torch.rand(40, 5, dtype=getattr(torch, precision), generator=torch.Generator().manual_seed(1))
    model = _kinked(x)
    with torch.no_grad():
        model.first.bias[[i for i in range(40) if i not in at]] += 0.1
    exported = jacobian(model, x, precision=precision, chunk=10)
    assert exported.dtype == getattr(np, precision)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_samples_at_a_kink_are_cut_off_no_more_than_others(precision: Any) -> None:
    x = torch.rand(40, 5, dtype=getattr(torch, precision), generator=torch.Generator().manual_seed(1))
    model = _kinked(x, lambda h: torch.cat([h[:LIMIT], h[LIMIT:].detach()]))
    with pytest.raises(ExportError, match="gradients that change by"):
        jacobian(model, x, precision=precision)


def _ramp(m: Any, h: Tensor) -> Tensor:
    return h * (1 + 1e-10 * m.calls)


def _switch(m: Any, h: Tensor) -> Tensor:
    return h * (1 if m.calls < 60 else 2)


def _late_gradient(m: Any, h: Tensor) -> Tensor:
    return h if m.calls > 60 else h.detach()


@pytest.mark.parametrize("change", [_ramp, _switch, _late_gradient])
def test_a_model_that_counts_its_calls(change: Any) -> None:
    """Each chunk would be the Jacobian of another function."""
    said = r"others at the end of the export .* by \d\.\de-?\+?\d+ \(relative\); let forward change no state"
    with pytest.raises(ExportError, match=said):
        jacobian(Field(change), torch.rand(60, 2), chunk=4)


def test_a_count_that_changes_nothing_is_allowed() -> None:
    assert jacobian(Field(lambda m, h: h), torch.rand(9, 2)).samples == 9


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_first_samples_whose_outputs_are_rounding_errors(precision: Any) -> None:
    """As those of the black parts of a picture."""
    model, x = Field(lambda m, h: h).double(), torch.rand(61, 2, dtype=torch.float64)
    black = spread(x, 7)
    with torch.no_grad():
        h = torch.tanh(model.first(black)) + model.table((29 * black[:, 0]).long())
        h = torch.cat([h, torch.ones(7, 1)], 1)
        w = torch.cat([model.last.weight[0], model.last.bias])
        w -= torch.linalg.pinv(h) @ (h @ w)
        model.last.weight[0], model.last.bias[0] = w[:-1], w[-1]
        assert model(black).abs().max() < 1e-12 < 1e-3 < model(x).abs().max()
    assert jacobian(model, x, precision=precision).dtype == getattr(np, precision)


def test_spread_samples_of_numbers_that_single_precision_rounds() -> None:
    many = 2**24 + 4  # the last place would be beyond the end
    assert spread(torch.zeros(1, 1).expand(many, 1), 7).shape == (7, 1)
    assert spread(torch.arange(5), 3).tolist() == [0, 2, 4]
    assert spread(torch.arange(2), 7).tolist() == [0, 1]


@pytest.mark.parametrize(("whole", "refused"), [(1e-3, True), (1.0, False)])
def test_outputs_near_zero_are_rounded_as_larger_ones_are(whole: float, refused: bool) -> None:
    """As those of a chunk from a black part of a picture, in single precision."""
    torch.manual_seed(0)
    prepared = prepare(nn.Linear(2, 1), "float32")
    x = 1e-3 * torch.rand(4, 2)
    with torch.no_grad():
        prepared.model.bias.zero_()
        outputs = prepared.model(x) + 3e-6
    expected = pytest.raises(ExportError, match="do not depend on each other") if refused else None
    with expected or contextlib.nullcontext():
        check_alone(prepared, Choices(), x, Chunk(outputs, (), 1.0, {}, {}), whole)


@pytest.mark.parametrize(
    ("stored", "held"),
    [([3.0, 1.0], True), ([2.5, 1.0], False), ([3, 1], True), ([300, 1], False), ([1j, 0], False)],
)
def test_whole_numbers_are_loaded_without_loss(stored: list[complex], held: bool) -> None:
    assert can_hold(torch.zeros(2, dtype=torch.uint8), torch.tensor(stored)) is held
