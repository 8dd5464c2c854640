"""Models that an exporter can go wrong on, and the Jacobian by its definition to compare with."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork

D = 2


class Net(nn.Module):
    """Two Linear layers and a forward pass given as a function of the module and the input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], c: int = 2, width: int = 5) -> None:
        super().__init__()
        self.first, self.mid, self.last = nn.Linear(D, width), nn.Linear(width, width), nn.Linear(width, c)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class ScaledLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


class RenamedLinear(nn.Linear):
    """The same forward pass under another name: factors hold."""


class GainLinear(nn.Linear):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * super().forward(x)


class Cube(torch.autograd.Function):
    """A custom function in the old style, which torch.func refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class RootParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(1.3)), nn.Parameter(torch.randn(3))
        self.linear = nn.Linear(D, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.tanh(self.linear(x) + self.shift)


class Unregistered(nn.Module):
    """Constants as plain attributes, made in single precision."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = torch.randn(D, 6)
        self.linear = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.sin(x @ self.frequencies))


class Remembering(nn.Module):
    """Keeps an activation of its last forward pass, which copy.deepcopy alone refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(D, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden = torch.tanh(self.first(x))
        return self.last(self.hidden)


def _mlp(activation: nn.Module, c: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Linear(D, 6), activation, nn.Linear(6, 6), copy.deepcopy(activation), nn.Linear(6, c)
    )


def _tied() -> nn.Module:
    net = Net(lambda m, x: m.last(torch.tanh(m.mid(torch.tanh(m.other(torch.tanh(m.first(x))))))))
    net.other = nn.Linear(5, 5)
    net.other.weight = net.mid.weight
    return net


def _alias() -> nn.Module:
    net = _mlp(nn.Tanh(), c=2)
    net.alias = nn.Identity()
    net.alias.head = net[4]  # registered twice, called once
    return net


def _repeated() -> nn.Module:
    shared = nn.Linear(5, 5)
    return nn.Sequential(nn.Linear(D, 5), shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(5, 2))


def _alias_dense() -> nn.Module:
    net = nn.Sequential(nn.Linear(D, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 2))
    net[2].norm = net[1]
    return net


def _frozen(*names: str) -> nn.Module:
    net = _mlp(nn.SiLU(), c=2)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in names)
    return net


def _branch(m: Any, x: Tensor) -> Tensor:
    h = torch.tanh(m.first(x))
    left = (x[:, :1] > 0.5).expand_as(h)
    out = h.clone()
    if left.any():
        out = torch.where(left, m.mid(h), h)
    return m.last(out)


def _rare_branch(m: Any, x: Tensor) -> Tensor:
    """Samples beyond a threshold that no probe sees use a further layer."""
    h = torch.tanh(m.first(x))
    rare = x[:, 0] == 0.123
    if bool(rare.any()):
        h = torch.where(rare[:, None], torch.tanh(m.mid(h)), h)
    return m.last(h)


def _inplace(m: Any, x: Tensor) -> Tensor:
    h = m.first(x)
    h.mul_(2).tanh_()
    buffer = torch.zeros(len(x), 5, dtype=x.dtype)
    buffer[:, :3] = h[:, :3]
    buffer += 1
    return m.last(F.relu(m.mid(buffer), inplace=True))


def _masked(m: Any, x: Tensor) -> Tensor:
    h = x.new_zeros(len(x), 5)
    mask = x[:, 0] > 0.5
    h[mask] = m.first(x[mask])
    h[~mask] = torch.tanh(m.first(x[~mask]))
    return m.last(torch.tanh(m.mid(h)))


def _flipped(m: Any, x: Tensor) -> Tensor:
    return m.last(torch.tanh(m.mid(torch.tanh(m.first(x)).flip(0)).flip(0)))


def _conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Linear(D, 8),
        nn.Unflatten(1, (2, 4)),
        nn.Conv1d(2, 3, 3, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(12, 2),
    )


def _conv2d() -> nn.Module:
    return nn.Sequential(
        nn.Linear(D, 16),
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 2, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(8, 1),
    )


def _weight_norm(legacy: bool) -> nn.Module:
    net = _mlp(nn.Tanh(), c=2)
    if legacy:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            net[2] = torch.nn.utils.weight_norm(net[2])
        net(torch.rand(3, D))  # leaves a tensor with a history on the module
    else:
        net[2] = parametrizations.weight_norm(net[2])
    return net


def _multigrid(table_size: int | None, interpolation: Any, d: int = 2, c: int = 3) -> nn.Module:
    encoding = Multigrid(
        d, levels=3, base=3, growth=2.0, features=2, table_size=table_size, interpolation=interpolation
    )
    for level in encoding.levels:
        nn.init.normal_(level.table)
    return CoordinateNetwork(encoding, MLP(encoding.width, 2, 6, c, "silu"))


def _grid_used_twice() -> nn.Module:
    net = Net(lambda m, x: m.last(torch.tanh(m.grid(x) + m.grid(x.flip(1)))))
    net.grid = Multigrid(2, levels=1, base=3, growth=1.0, features=3)
    return net


def _composed(f: Callable[[Any, Tensor], Tensor], **options: int) -> Callable[[], nn.Module]:
    return lambda: Net(f, **options)


# name -> (model, the blocks that must come out as products of factors; None: do not look)
ZOO: dict[str, tuple[Callable[[], nn.Module], set[str] | None]] = {
    "relu": (lambda: _mlp(nn.ReLU()), {"0", "2", "4"}),
    "relu in place": (lambda: _mlp(nn.ReLU(inplace=True), 3), {"0", "2", "4"}),
    "silu in place": (lambda: _mlp(nn.SiLU(inplace=True)), {"0", "2", "4"}),
    "leaky relu in place": (lambda: _mlp(nn.LeakyReLU(inplace=True)), {"0", "2", "4"}),
    "gelu": (lambda: _mlp(nn.GELU(), 3), {"0", "2", "4"}),
    "tanh": (lambda: _mlp(nn.Tanh()), {"0", "2", "4"}),
    "softplus": (lambda: _mlp(nn.Softplus(), 3), {"0", "2", "4"}),
    "sine": (lambda: MLP(D, 2, 6, 3, "sine"), {"hidden_1", "hidden_2", "output"}),
    "prelu": (lambda: _mlp(nn.PReLU(), 2), {"0", "2", "4"}),
    "single linear": (lambda: nn.Linear(D, 3), {"weight"}),
    "deep names": (lambda: nn.ModuleDict({"a": nn.Sequential(_mlp(nn.Tanh()))})["a"], {"0.0", "0.2", "0.4"}),
    "layer used twice": (
        _composed(lambda m, x: m.last(torch.tanh(m.mid(torch.tanh(m.mid(torch.tanh(m.first(x)))))))),
        {"first", "last"},
    ),
    "tied weights": (_tied, {"first", "last"}),
    "same module twice in a row": (_repeated, {"0", "5"}),
    "dense module under two names": (_alias_dense, {"0", "3"}),
    "same module under two names": (_alias, {"0", "2", "4"}),
    "linear on positions": (
        _composed(
            lambda m, x: m.last(
                torch.tanh(m.mid(torch.tanh(m.first(torch.stack([x, x**2, 1 - x], 1))))).sum(1)
            )
        ),
        {"last"},
    ),
    "linear on samples times positions": (
        _composed(
            lambda m, x: m.last(
                torch.tanh(m.first(torch.stack([x, x**2], 1).flatten(0, 1))).view(-1, 2, 5).prod(1)
            )
        ),
        {"last"},
    ),
    "functional use of a weight": (
        _composed(lambda m, x: m.last(torch.tanh(m.mid(torch.tanh(m.first(x))) @ m.mid.weight))),
        {"first", "last"},
    ),
    "functional use alone": (
        _composed(lambda m, x: m.last(torch.tanh(F.linear(x, m.first.weight)))),
        {"first", "last"},
    ),
    "weight penalty in the output": (
        _composed(lambda m, x: m.last(torch.tanh(m.first(x))) + 1e-6 * m.first.weight.sum()),
        {"last"},
    ),
    "batch flipped inside": (_composed(_flipped), {"first", "mid", "last"}),
    "keyword call": (_composed(lambda m, x: m.last(input=torch.tanh(m.first(input=x)))), {"first", "last"}),
    "output reused in place": (_composed(_inplace), None),
    "input made in place": (
        _composed(lambda m, x: m.last(torch.tanh(m.first(x.clone().mul_(2)).add_(1)))),
        {"first", "last"},
    ),
    "scaled subclass": (lambda: nn.Sequential(ScaledLinear(D, 4), nn.Tanh(), nn.Linear(4, 2)), {"0", "2"}),
    "renamed subclass": (lambda: nn.Sequential(RenamedLinear(D, 4), nn.Tanh(), nn.Linear(4, 2)), {"0", "2"}),
    "subclass with a gain": (
        lambda: nn.Sequential(GainLinear(D, 4), nn.Tanh(), nn.Linear(4, 2)),
        {"0.weight", "2"},
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(D, 6), nn.LayerNorm(6), nn.SiLU(), nn.Linear(6, 2)),
        {"0", "3"},
    ),
    "conv1d": (_conv1d, {"0", "5"}),
    "conv2d": (_conv2d, {"0", "5"}),
    "bilinear": (
        _composed(lambda m, x: m.last(m.first(x) * torch.sigmoid(m.mid(torch.tanh(m.first(x)))))),
        {"mid", "last"},
    ),
    "frozen layer": (lambda: _frozen("0.weight", "0.bias"), {"2", "4"}),
    "frozen bias": (lambda: _frozen("2.bias"), {"0", "2", "4"}),
    "frozen weight": (lambda: _frozen("2.weight"), {"0", "2", "4"}),
    "no bias": (
        lambda: nn.Sequential(nn.Linear(D, 5, bias=False), nn.Tanh(), nn.Linear(5, 2, bias=False)),
        {"0", "2"},
    ),
    "unused layer": (_composed(lambda m, x: m.last(torch.tanh(m.first(x)))), {"first", "last"}),
    "called but unused": (
        _composed(lambda m, x: (m.mid(m.first(x)), m.last(torch.tanh(m.first(x))))[1]),
        {"first", "last"},
    ),
    "detached layer": (
        _composed(lambda m, x: m.last(torch.tanh(m.mid(m.first(x).detach())))),
        {"mid", "last"},
    ),
    "dropout and batch norm": (
        lambda: nn.Sequential(
            nn.Linear(D, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)
        ),
        {"0", "4"},
    ),
    "weight norm": (lambda: _weight_norm(False), {"0", "2", "4"}),
    "legacy weight norm": (lambda: _weight_norm(True), {"0", "4"}),
    "root parameters": (RootParameters, {"linear"}),
    "plain tensor constants": (Unregistered, {"linear"}),
    "remembers its activation": (Remembering, {"first", "last"}),
    "branch on data": (_composed(_branch), {"first", "mid", "last"}),
    "rare branch": (_composed(_rare_branch), {"first", "mid", "last"}),
    "masked halves": (_composed(_masked), {"first", "mid", "last"}),
    "custom function": (
        lambda: Net(lambda m, x: m.last(Cube.apply(m.norm(m.first(x))))),
        None,
    ),
    "custom function, factored": (_composed(lambda m, x: m.last(Cube.apply(m.first(x)))), {"first", "last"}),
    "checkpoint": (
        _composed(
            lambda m, x: m.last(
                checkpoint(lambda h: torch.tanh(m.mid(torch.tanh(m.first(h)))), x, use_reentrant=False)
            )
        ),
        {"first", "mid", "last"},
    ),
    "transformer layer": (
        lambda: nn.Sequential(
            nn.Linear(D, 12),
            nn.Unflatten(1, (3, 4)),
            nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
            nn.Flatten(),
            nn.Linear(12, 1),
        ),
        {"0", "4"},
    ),
    "factory tensors": (
        _composed(lambda m, x: m.last(torch.tanh(m.first(x)) @ torch.eye(5) + torch.linspace(0, 1, 5))),
        {"first", "last"},
    ),
    "half": (lambda: _mlp(nn.Tanh(), 2).half(), {"0", "2", "4"}),
    "bfloat16": (
        lambda: nn.Sequential(nn.Linear(D, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3)).bfloat16(),
        {"0", "3"},
    ),
    "dense multigrid": (lambda: _multigrid(None, "linear"), {f"encoding.levels.{i}" for i in range(3)}),
    "hashed multigrid": (lambda: _multigrid(11, "linear"), {f"encoding.levels.{i}" for i in range(3)}),
    "smooth multigrid": (lambda: _multigrid(40, "smooth", c=1), {f"encoding.levels.{i}" for i in range(3)}),
    "quadratic multigrid": (
        lambda: _multigrid(None, "quadratic"),
        {f"encoding.levels.{i}" for i in range(3)},
    ),
    "cubic multigrid": (lambda: _multigrid(40, "cubic"), {f"encoding.levels.{i}" for i in range(3)}),
    "grid used twice": (_grid_used_twice, {"grid.levels.0", "last"}),
}


def build(name: str) -> nn.Module:
    """The model of that name, from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = ZOO[name][0]()
        if name == "custom function":
            model.norm = nn.LayerNorm(5)
        if name == "dropout and batch norm":
            model(torch.rand(16, D))  # running statistics
    return model


def inputs(n: int = 23, d: int = D) -> Tensor:
    """Inputs in the unit cube; one sample, which no probe picks, sits where the rare branch is."""
    x = torch.rand(n, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x[n // 4, 0] = 0.123
    return x


def oracle(model: nn.Module, x: Tensor) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Outputs (n, c), and for every trainable parameter J (n, c, *shape), by autograd a row at a time."""
    held = {
        id(v): v.detach().clone() for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor)
    }
    model = copy.deepcopy(model, held).double().eval()
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                setattr(module, name, value.double())
    names, parameters = zip(*((k, p) for k, p in model.named_parameters() if p.requires_grad), strict=True)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        outputs = [model(sample[None])[0] for sample in x.double()]
        rows = [
            [torch.autograd.grad(f, parameters, retain_graph=True, allow_unused=True) for f in o]
            for o in outputs
        ]
    finally:
        torch.set_default_dtype(default)
    jacobians = {}
    for k, (name, parameter) in enumerate(zip(names, parameters, strict=True)):
        zero = torch.zeros_like(parameter)
        stack = [torch.stack([zero if row[k] is None else row[k] for row in sample]) for sample in rows]
        jacobians[name] = torch.stack(stack).numpy()
    return torch.stack(outputs).detach().numpy(), jacobians


def by_parameter(jac: Jacobian, like: dict[str, NDArray[Any]] | None = None) -> dict[str, NDArray[Any]]:
    """The exported blocks, written out, as J (n, c, *shape) of every parameter.

    A product's block may have its matrix in either order; `like` tells which, where the shape does not.
    """
    found = {}
    for block in jac:
        dense, start = block.to_dense(), 0
        for parameter in block.parameters:
            size = int(np.prod(parameter.shape))
            part = dense[:, :, start : start + size]
            start += size
            rows = part.reshape(*part.shape[:2], *parameter.shape)
            if isinstance(block.left, DenseFactor) and len(parameter.shape) == 2:
                swapped = np.swapaxes(part.reshape(*part.shape[:2], *parameter.shape[::-1]), 2, 3)
                known = (like or {}).get(parameter.name, swapped)
                rows = min((swapped, rows), key=lambda one: float(np.abs(one - known).max()))
            found[parameter.name] = rows
        assert start == dense.shape[2]
    return found


def assert_blocks(jac: Jacobian, expected: dict[str, NDArray[Any]], relative: float = 1e-12) -> None:
    """Every parameter's J is the expected one, but for a share of the largest number; zero if left out."""
    found, scale = by_parameter(jac, expected), max(np.abs(rows).max() for rows in expected.values())
    for name, rows in expected.items():
        ours = found.get(name, np.zeros_like(rows))
        np.testing.assert_allclose(ours, rows, rtol=0, atol=relative * scale, err_msg=name)
