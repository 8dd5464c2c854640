"""What our instruments cannot follow is no fault of the model: it is exported without them, and rightly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from export_zoo import Net, assert_blocks, build, inputs, oracle
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jvp, vjp, vmap
from torch.nn.utils import parametrizations, parametrize

from ntkspec.errors import ExportError
from ntkspec.export import budget, jacobian

PAIRS = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 3, 2, 4]])


def _potential(m: Any, p: Tensor) -> Tensor:
    return m.last(torch.tanh(m.mid(torch.tanh(m.first(p))))).sum()


def _second_derivatives(m: Any, x: Tensor) -> Tensor:
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(_potential(m, x), x, create_graph=True)
    rows = [torch.autograd.grad(slope[:, i].sum(), x, create_graph=True)[0] for i in range(2)]
    return torch.cat(rows, dim=1)


def _field(m: Any, x: Tensor) -> Tensor:
    """The gradient at x itself, which the model asks for in place."""
    x.requires_grad_()
    return torch.autograd.grad(_potential(m, x), x, create_graph=True)[0]


def _forward_ad(m: Any, x: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(m.last(torch.tanh(m.first(dual)))).tangent
    assert tangent is not None
    return tangent


def _sparse(layout: str) -> nn.Module:
    net = Net(lambda m, x: m.last((m.matrix @ torch.tanh(m.first(x)).T).T))
    matrix = torch.sparse_coo_tensor(PAIRS, torch.linspace(1, 2, 5), (5, 5), check_invariants=True).coalesce()
    net.register_buffer("matrix", matrix if layout == "coo" else matrix.to_sparse_csr())
    return net


def _sparse_parameter(m: Any, x: Tensor) -> Tensor:
    matrix = torch.sparse_coo_tensor(PAIRS, m.mid.bias, (5, 5), check_invariants=True)
    return m.last(torch.sparse.mm(matrix, torch.tanh(m.first(x)).T).T)


def _complex(m: Any, x: Tensor) -> Tensor:
    z = torch.complex(m.first(x), m.mid(torch.tanh(m.first(x))))
    return m.last((z * z.conj() + torch.exp(1j * z)).real)


def _in_place(m: Any, x: Tensor) -> Tensor:
    x.mul_(2).sub_(1)
    return m.last(torch.tanh(m.first(x)))


class OneBackward(torch.autograd.Function):
    """Lets go of what it kept at its first backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x
        return x.square()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x = ctx.kept
        del ctx.kept
        return 2 * x * gradient


class WornOut(torch.autograd.Function):
    """Gives another gradient at its second backward pass, without a word."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x.detach().clone()
        return x.square()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        slope = 2 * ctx.kept
        ctx.kept *= 0.5
        return slope * gradient


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).T


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells, self.last = kind(1, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cells(x[:, :, None])[0][:, -1])


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.heads = nn.Linear(2, 12), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).view(-1, 3, 4)
        return self.heads(h, h, h)[0].flatten(1)[:, :2]


def _stack(middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), middle, nn.Tanh(), nn.Linear(5, 2))


def _symmetric() -> nn.Module:
    net = _stack(nn.Linear(5, 5))
    parametrize.register_parametrization(net[2], "weight", Symmetric())
    return net


def _channels_last() -> nn.Module:
    convolution = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    return nn.Sequential(nn.Linear(2, 32), nn.Unflatten(1, (2, 4, 4)), convolution, nn.Flatten())


def _net(function: Callable[[Any, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(function)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "grad": _net(lambda m, x: vmap(grad(lambda p: _potential(m, p)))(x)),
    "jvp": _net(lambda m, x: jvp(lambda p: m.last(torch.tanh(m.first(p))), (x,), (torch.ones_like(x),))[1]),
    "vjp": _net(lambda m, x: vjp(lambda p: torch.tanh(m.first(p)), x)[1](x.new_ones(len(x), 5))[0]),
    "hessian": _net(lambda m, x: vmap(hessian(lambda p: _potential(m, p)))(x).flatten(1)),
    "jacfwd": _net(lambda m, x: vmap(jacfwd(lambda p: m.last(torch.tanh(m.first(p)))))(x).flatten(1)),
    "vmap": _net(lambda m, x: vmap(lambda p: m.last(torch.tanh(m.first(p))))(x)),
    "functional_call": _net(
        lambda m, x: functional_call(
            m.last, {"weight": 2 * m.last.weight, "bias": m.last.bias}, torch.tanh(m.first(x))
        )
    ),
    "forward mode": _net(_forward_ad),
    "gradient field": _net(_field),
    "second derivatives": _net(_second_derivatives),
    "sparse buffer": lambda: _sparse("coo"),
    "sparse rows": lambda: _sparse("csr"),
    "sparse by a parameter": _net(_sparse_parameter),
    "fft": _net(lambda m, x: m.last(torch.fft.fft(torch.tanh(m.first(x)), dim=1).abs())),
    "complex": _net(_complex),
    "scatter": _net(
        lambda m, x: m.last(
            torch.zeros(len(x), 5, dtype=x.dtype).scatter_add(
                1, PAIRS[1].expand(len(x), -1), torch.tanh(m.first(x))
            )
        )
    ),
    "cdist": _net(lambda m, x: m.last(torch.exp(-torch.cdist(x, m.mid.weight[:, :2])))),
    "einsum": _net(lambda m, x: m.last(torch.einsum("ni,ij->nj", torch.tanh(m.first(x)), m.mid.weight))),
    "input changed in place": _net(_in_place),
    "attention": Heads,
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "spectral norm": lambda: _stack(parametrizations.spectral_norm(nn.Linear(5, 5))),
    "orthogonal": lambda: _stack(parametrizations.orthogonal(nn.Linear(5, 5))),
    "symmetric": _symmetric,
    "channels last": _channels_last,
    "one backward pass": _net(lambda m, x: m.last(OneBackward.apply(m.first(x)))),
    "worn out by a backward pass": _net(lambda m, x: m.last(WornOut.apply(m.first(x)))),
}


def make(name: str) -> nn.Module:
    torch.manual_seed(2)
    return MODELS[name]()


@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_the_jacobian_row_by_row(name: str) -> None:
    model = make(name)
    jac = jacobian(model, inputs(9), chunk=4)
    if name == "sparse rows":  # which copy.deepcopy, and so the oracle, cannot copy
        model.matrix = model.matrix.to_dense()
    if name in ("one backward pass", "worn out by a backward pass"):  # the oracle takes several
        model.function = lambda m, x: m.last(m.first(x).square())
    _, expected = oracle(_taking_copies(model), inputs(9))
    assert_blocks(jac, expected)


def _taking_copies(model: nn.Module) -> nn.Module:
    model = copy.deepcopy(model)
    model.register_forward_pre_hook(lambda module, args: tuple(arg.detach().clone() for arg in args))
    return model


@pytest.mark.parametrize("broken", [["_kept_bytes"], ["_kept_bytes", "_result_bytes"]])
def test_a_broken_estimate_makes_smaller_chunks_only(broken: list[str], monkeypatch: Any) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("no estimate")

    model, x = make("attention"), inputs(60)
    expected = jacobian(model, x).to_dense()
    for name in broken:
        monkeypatch.setattr(budget, name, fail)
    np.testing.assert_allclose(jacobian(model, x).to_dense(), expected, rtol=0, atol=1e-14)


def test_the_estimate_by_results_covers_what_autograd_keeps() -> None:
    for name in ("attention", "channels last", "fft", "cdist"):
        model, x = make(name).double(), inputs(64)
        kept, results = budget._kept_bytes(model, x), budget._result_bytes(model, x)
        assert kept / 2 < results < 20 * kept, name


def test_a_lookup_that_cannot_be_followed_is_read_off_the_graph(monkeypatch: Any) -> None:
    """Then its block is sparse, though the module says nothing of it."""

    def fail(self: Any, x: Tensor) -> Any:
        raise RuntimeError("cannot say")

    model, x = build("dense multigrid"), inputs(9)
    declared = jacobian(model, x)
    monkeypatch.setattr(type(model.encoding.levels[0]), "lookup", fail)
    found = jacobian(model, x)
    assert found.names == declared.names
    assert found.roles == declared.roles
    for block, other in zip(found, declared, strict=True):
        np.testing.assert_allclose(block.to_dense(), other.to_dense(), rtol=0, atol=1e-13)


def test_a_model_that_refuses_a_hooked_output() -> None:
    """Nothing of ours may come between a layer and what takes its output."""

    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            if type(h.grad_fn).__name__ != "AddmmBackward0":
                raise RuntimeError("not what the layer made")
            return self.last(torch.tanh(h))

    model = Strict()
    _, expected = oracle(model, inputs(9))
    assert_blocks(jacobian(model, inputs(9)), expected)


def test_a_late_failure_is_the_models_own() -> None:
    """NaN from a sample that the probe does not see is told as such, hooks or not."""
    x = inputs(40)
    net = Net(lambda m, x: m.last(torch.tanh(m.first(torch.log((x - 0.123).abs()).nan_to_num(neginf=-9)))))
    jacobian(net, x, chunk=10)
    net.function = lambda m, x: m.last(F.relu(m.first(torch.log((x - 0.123).abs()))))
    with pytest.raises(ExportError, match="finite outputs"):
        jacobian(net, x, chunk=10)
