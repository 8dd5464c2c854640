"""What the outputs depend on is exported or refused by name: never left out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from export_zoo import Net, inputs
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ntkspec.errors import ExportError
from ntkspec.export import jacobian
from ntkspec.export.graph import leaves
from ntkspec.kernel.dense import gram

GLOBAL = torch.linspace(-1, 1, 25).reshape(5, 5).requires_grad_()


def weight() -> Tensor:
    return torch.linspace(-1, 1, 25).reshape(5, 5).requires_grad_()


class Holder(nn.Module):
    """first, what `held` holds applied by `use`, last."""

    def __init__(self, held: Any, use: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.held, self.use = nn.Linear(2, 5), nn.Linear(5, 2), held, use

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.use(self.held, torch.tanh(self.first(x)))))


@dataclass
class Weights:
    inner: Tensor


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner


class OfTheClass(nn.Module):
    table = weight()

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)) @ self.table)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return gradient @ w.T, x.T @ gradient


def _closure() -> nn.Module:
    hidden = weight()
    return Net(lambda m, x: m.last(torch.tanh(m.first(x) @ hidden)))


def _closure_of_layers() -> nn.Module:
    layers = [nn.Linear(5, 5)]
    return Net(lambda m, x: m.last(torch.tanh(layers[0](m.first(x)))))


def _own_layers_by_a_closure() -> nn.Module:
    net = Net(lambda m, x: m.last(torch.tanh(m.middle(m.first(x)))))
    net.middle = lambda h: net.mid(h)
    return net


def _rare() -> nn.Module:
    """The tensor takes part in one sample only, which the probe does not see."""

    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.first(x)
        rare = x[:, 0] == 0.123
        return m.last(torch.where(rare[:, None], h @ m.extra[0], h) if bool(rare.any()) else h)

    net = Net(forward)
    net.extra = [weight()]
    return net


def _trained_buffer() -> nn.Module:
    net = Net(lambda m, x: m.last(torch.tanh(m.first(x) @ m.table)))
    net.register_buffer("table", weight())
    return net


def _by_default(h: Tensor, w: Tensor = weight()) -> Tensor:  # noqa: B008  # that is the point
    return h @ w


UNREGISTERED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "list of layers": (
        lambda: Holder([nn.Linear(5, 5) for _ in range(2)], lambda held, h: held[1](torch.tanh(held[0](h)))),
        "held[1].weight",
    ),
    "dict": (lambda: Holder({"w": weight()}, lambda held, h: h @ held["w"]), "held['w']"),
    "tuple": (lambda: Holder((weight(),), lambda held, h: h @ held[0]), "held[0]"),
    "nested": (lambda: Holder({"a": [(weight(),)]}, lambda held, h: h @ held["a"][0][0]), "held['a'][0][0]"),
    "dataclass": (lambda: Holder(Weights(weight()), lambda held, h: h @ held.inner), "held.inner"),
    "slots": (lambda: Holder(Slotted(weight()), lambda held, h: h @ held.inner), "held.inner"),
    "object of layers": (
        lambda: Holder(SimpleNamespace(layers=nn.ModuleList([nn.Linear(5, 5)])), lambda o, h: o.layers[0](h)),
        "held.layers.0.weight",
    ),
    "attribute": (lambda: Holder(weight(), lambda held, h: h @ held), "held"),
    "partial": (
        lambda: Holder(functools.partial(torch.matmul, other=weight()), lambda held, h: held(h)),
        "held.keywords['other']",
    ),
    "method": (lambda: Holder(nn.Linear(5, 5).forward, lambda held, h: held(h)), "held.weight"),
    "closure": (_closure, "closure variable hidden"),
    "closure of layers": (_closure_of_layers, "closure variable layers[0].weight"),
    "default argument": (
        lambda: Holder(None, lambda _, h: _by_default(h)),
        "default argument of _by_default",
    ),
    "global": (lambda: Net(lambda m, x: m.last(m.first(x) @ GLOBAL)), "global variable GLOBAL"),
    "class": (OfTheClass, "table"),
    "trained buffer": (_trained_buffer, "table"),
    "custom function": (lambda: Holder([weight()], lambda held, h: Double.apply(h, held[0])), "held[0]"),
    "checkpoint": (
        lambda: Holder([weight()], lambda w, h: checkpoint(lambda h: h @ w[0], h, use_reentrant=False)),
        "held[0]",
    ),
    "torch.func": (
        lambda: Holder([weight()], lambda w, h: torch.func.vmap(lambda one: one @ w[0])(h)),
        "held[0]",
    ),
    "rare": (_rare, "extra[0]"),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", UNREGISTERED)
def test_an_unregistered_tensor_is_named(name: str, precision: Any) -> None:
    """In float64, too, where a tensor that is not copied is of another dtype and the forward pass fails."""
    make, place = UNREGISTERED[name]
    with pytest.raises(ExportError) as caught:
        jacobian(make(), inputs(40), precision=precision, chunk=10)
    message = str(caught.value)
    assert f"got one of shape (5, 5) at {place} that is not registered" in message
    assert "nn.ModuleList" in message
    assert "\n" not in message


def test_a_model_of_unregistered_layers_alone() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(2, 3), nn.Linear(3, 1)]

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[1](torch.tanh(self.layers[0](x)))

    with pytest.raises(ExportError, match=r"shape \(3, 2\) at layers\[0\].weight .*nn.ModuleList"):
        jacobian(Bare(), inputs())


def test_layers_of_the_original_are_told_from_those_of_the_copy() -> None:
    for precision in ("float64", "float32"):
        with pytest.raises(
            ExportError, match=r"mid.weight of the model that was copied.* use self in forward"
        ):
            jacobian(_own_layers_by_a_closure(), inputs(), precision=precision)


def naive_kernel(model: nn.Module, x: Tensor) -> np.ndarray:
    """Sum over outputs of the kernel (n, n) of all leaves in autograd's graph, a row at a time."""
    parameters = leaves(model(x))
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)
    for o in range(model(x).shape[1]):
        rows = [
            torch.autograd.grad(model(s[None])[0, o], parameters, allow_unused=True, materialize_grads=True)
            for s in x
        ]
        flat = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).double()
        kernel += flat @ flat.T
    return kernel.numpy()


def _module_list() -> nn.Module:
    return Holder(
        nn.ModuleList(nn.Linear(5, 5) for _ in range(2)), lambda held, h: held[1](torch.tanh(held[0](h)))
    )


REGISTERED: dict[str, Callable[[], nn.Module]] = {
    "ModuleList": _module_list,
    "ParameterDict": lambda: Holder(nn.ParameterDict({"w": weight()}), lambda held, h: h @ held["w"]),
    "Parameter": lambda: Holder(nn.Parameter(weight()), lambda held, h: h @ held),
    "frozen list of layers": lambda: Holder(
        [nn.Linear(5, 5).requires_grad_(False)], lambda held, h: held[0](h)
    ),
    "frozen tensors in a dataclass": lambda: Holder(Weights(weight().detach()), lambda w, h: h @ w.inner),
    "result of an earlier pass in a list": lambda: Holder([weight() * 2], lambda held, h: h),
    "derivative by a copy of x": lambda: Net(_gradient_field),
}


def _gradient_field(m: Any, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(torch.tanh(m.first(x)).sum(), x, create_graph=True)
    return m.last(torch.tanh(m.mid(m.first(slope))))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", REGISTERED)
def test_kernels_of_all_leaves(name: str, precision: Any) -> None:
    """Registered or not trainable: models made in single precision, tensors in containers included."""
    torch.manual_seed(5)
    model, x = REGISTERED[name](), inputs(9)
    expected = naive_kernel(model, x.float())
    found = np.asarray(gram(jacobian(model, x, precision=precision), outputs="trace"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.abs(expected).max())


def test_a_copy_that_shares_its_parameters_is_refused() -> None:
    class Shared(nn.Linear):
        def __deepcopy__(self, memo: Any) -> nn.Module:
            return self

    model = Shared(2, 1)
    with pytest.raises(ExportError, match="__deepcopy__"):
        jacobian(model, inputs())
    assert model.weight.dtype == torch.float32
