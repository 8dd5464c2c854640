"""A parameter whose gradient is zero but for rounding is no sign of samples that depend on each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from export_zoo import Net, assert_blocks, inputs, oracle
from torch import Tensor, nn

from ntkspec.errors import ExportError
from ntkspec.export import ExportWarning, jacobian


class With(Net):
    """A net with a further module or parameter `part`."""

    def __init__(self, part: Any, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__(forward)
        self.part = part


def _attention(m: Any, x: Tensor) -> Tensor:
    h = m.first(torch.stack([x, 1 - x, x.square()], dim=1))
    weights = (m.mid(h) @ m.part(h).mT).softmax(-1)
    return m.last(weights @ h).mean(1)


def _radial(m: Any, x: Tensor) -> Tensor:
    """exp of minus squared distances of features from those of centres: f(x) - f(c)."""

    def features(p: Tensor) -> Tensor:
        return m.mid(torch.tanh(m.first(p)))

    distance = features(x)[:, None] - features(m.part)[None]
    return m.last(torch.exp(-distance.square().sum(2)))


def _shift() -> nn.Parameter:
    return nn.Parameter(torch.tensor([0.7]))


def _gaussian(m: Any, x: Tensor) -> Tensor:
    """Weights of a mixture whose shared offset cancels in its normalisation."""
    energy = m.first(x).square() + m.part
    return m.last(torch.exp(-energy) / torch.exp(-energy).sum(1, keepdim=True))


# name -> (model, the parameters whose gradient is zero)
MODELS: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "attention with a key bias": (lambda: With(nn.Linear(5, 5), _attention), {"part.bias"}),
    "shift before a softmax": (
        lambda: With(_shift(), lambda m, x: m.last((9 * (m.first(x) + m.part)).softmax(-1))),
        {"part"},
    ),
    "shift before a log softmax": (
        lambda: With(_shift(), lambda m, x: m.last(F.log_softmax(m.first(x) + m.part, -1))),
        {"part"},
    ),
    "shift before a layer norm": (
        lambda: With(_shift(), lambda m, x: m.last(torch.tanh(F.layer_norm(m.first(x) + m.part, (5,))))),
        {"part"},
    ),
    "convolution before a group norm": (
        lambda: nn.Sequential(
            nn.Linear(2, 20),
            nn.Unflatten(1, (2, 10)),
            nn.Conv1d(2, 3, 3),
            nn.GroupNorm(3, 3),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(24, 2),
        ),
        {"2.bias"},
    ),
    "convolution before an instance norm": (
        lambda: nn.Sequential(
            nn.Linear(2, 20),
            nn.Unflatten(1, (2, 10)),
            nn.Conv1d(2, 3, 3),
            nn.InstanceNorm1d(3),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(24, 1),
        ),
        {"2.bias"},
    ),
    "radial basis": (lambda: With(nn.Parameter(torch.rand(5, 2)), _radial), {"mid.bias"}),
    "gain before a direction": (
        lambda: With(_shift(), lambda m, x: m.last(F.normalize(m.part * m.first(x), dim=1))),
        {"part"},
    ),
    "gain before a cosine": (
        lambda: With(
            _shift(),
            lambda m, x: m.last(F.cosine_similarity(m.part * m.first(x)[:, None], m.mid.weight[None], dim=2)),
        ),
        {"part"},
    ),
    "offset of energies": (lambda: With(_shift(), _gaussian), {"part"}),
    "bias before centring": (
        lambda: With(
            _shift(),
            lambda m, x: m.last(torch.tanh((h := m.first(x) + m.part) - h.mean(1, keepdim=True))),
        ),
        {"part"},
    ),
    "difference of two points": (
        lambda: Net(lambda m, x: m.last(torch.tanh(m.first(x))) - m.last(torch.tanh(m.first(x.flip(1))))),
        {"last.bias"},
    ),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_a_zero_gradient_is_exported(name: str, precision: Any) -> None:
    torch.manual_seed(4)
    make, zero = MODELS[name]
    model, x = make(), inputs(32)
    _, expected = oracle(model, x)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        jac = jacobian(model, x, precision=precision, chunk=13)
    assert not any("one sample at a time" in str(one.message) for one in told)
    assert jac.dtype == np.dtype(precision)
    assert_blocks(jac, expected, 1e-12 if precision == "float64" else 1e-5)
    whole = max(np.abs(rows).max() for rows in expected.values())
    assert zero <= {parameter for parameter, rows in expected.items() if np.abs(rows).max() < 1e-12 * whole}


def _in_one_gradient(strength: float) -> Callable[[], nn.Module]:
    """The outputs are right, and only the gradient of one weak parameter sees other samples."""

    def forward(m: Any, x: Tensor) -> Tensor:
        seen = strength * m.part * x.mean(0)
        return m.last(torch.tanh(m.first(x))) + (seen - seen.detach())

    return lambda: With(_shift(), forward)


DEPENDENT: dict[str, Callable[[], nn.Module]] = {
    "centred over the batch": lambda: Net(lambda m, x: m.last((h := torch.tanh(m.first(x))) - h.mean(0))),
    "softmax over the batch": lambda: Net(lambda m, x: m.last(m.first(x).softmax(0))),
    "norm over the batch": lambda: Net(lambda m, x: m.last(F.normalize(m.first(x), dim=0))),
    "statistics of the batch": lambda: Net(
        lambda m, x: m.last(torch.tanh(F.batch_norm(m.first(x), None, None, training=len(x) > 1)))
    ),
    "attention over the batch": lambda: Net(
        lambda m, x: m.last((m.mid(h := m.first(x)) @ h.T).softmax(-1) @ h)
    ),
    "one gradient, weak": _in_one_gradient(1e-3),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", DEPENDENT)
def test_dependent_samples_are_refused(name: str, precision: Any) -> None:
    torch.manual_seed(4)
    with pytest.raises(ExportError, match=r"do not depend on each other|forward pass"):
        jacobian(DEPENDENT[name](), inputs(32), precision=precision)


def test_a_weak_dependence_is_seen_as_far_as_it_matters() -> None:
    """It changes the kernel by its square: 1e-10 of it is seen, 1e-14 is far below what float32 resolves."""
    with pytest.raises(ExportError, match="gradients that change"):
        jacobian(_in_one_gradient(1e-5)(), inputs(32))
    with pytest.warns(ExportWarning, match="single precision alone"):
        assert jacobian(_in_one_gradient(1e-7)(), inputs(32)).dtype == np.float32


def test_single_precision_advises_double() -> None:
    model = With(_shift(), lambda m, x: m.last(torch.tanh(F.layer_norm(m.first(x) + 1000 * m.part, (5,)))))
    with pytest.raises(ExportError, match="precision='float64'"):
        jacobian(model, inputs(32), precision="float32")
    assert jacobian(model, inputs(32)).dtype == np.float64


CONSTANT: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "sum of a softmax": lambda m, x: m.first(x).softmax(1).sum(1, keepdim=True),
    "quotient of itself": lambda m, x: (h := m.last(torch.tanh(m.first(x)))) / h,
    "direction of one feature": lambda m, x: F.normalize(m.first(x)[:, :1], dim=1),
    "mean of what is centred": lambda m, x: F.layer_norm(m.first(x), (5,)).mean(1, keepdim=True),
    "inverse of a function": lambda m, x: torch.log(torch.exp(h := m.first(x))) - h,
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", CONSTANT)
def test_a_gradient_of_rounding_alone_is_called_that(name: str, precision: Any) -> None:
    torch.manual_seed(4)
    with pytest.raises(ExportError, match="got a gradient that is zero but for rounding"):
        jacobian(Net(CONSTANT[name]), inputs(32), precision=precision)


def test_a_small_gradient_is_not_called_rounding() -> None:
    small = jacobian(Net(lambda m, x: 1e-30 * m.last(torch.tanh(m.first(x))) + 1), inputs(9)).to_dense()
    assert 0 < np.abs(small).max() < 1e-28
    with pytest.raises(ExportError, match="do not depend on each other"):
        jacobian(Net(lambda m, x: 1e-30 * (m.first(x) - m.first(x).mean(0)) + 1), inputs(9))
