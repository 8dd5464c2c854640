"""Unusual models work, or the advice that comes with the refusal is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from export_zoo import Net, assert_blocks, inputs, oracle
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from ntkspec.errors import ExportError, MemoryBudgetError
from ntkspec.export import jacobian


def plain(m: Any, x: Tensor) -> Tensor:
    return m.last(torch.tanh(m.mid(torch.tanh(m.first(x)))))


def _reentrant(m: Any, x: Tensor) -> Tensor:
    return m.last(checkpoint(lambda h: torch.tanh(m.mid(h)), torch.tanh(m.first(x)), use_reentrant=True))


def _reentrant_dense(m: Any, x: Tensor) -> Tensor:
    """The parts of the checkpoint are a dense block, which vmap has to follow."""
    h = torch.tanh(m.first(x))
    return m.last(checkpoint(lambda h: torch.tanh(h @ m.mid.weight + m.mid.bias), h, use_reentrant=True))


def _reentrant_sequence(m: Any, x: Tensor) -> Tensor:
    layers = [m.mid, torch.tanh, m.mid, torch.tanh]
    return m.last(checkpoint_sequential(layers, 2, m.first(x), use_reentrant=True))


def _compiled_forward() -> nn.Module:
    class CompiledForward(nn.Module):  # here, since torch.compile takes seconds to import
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 2)

        @torch.compile(backend="aot_eager")
        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)))

    return CompiledForward()


def _compiled_part() -> nn.Module:
    part = torch.compile(nn.Sequential(nn.Tanh(), nn.Linear(5, 5)), backend="aot_eager")
    return nn.Sequential(nn.Linear(2, 5), part, nn.Linear(5, 2))


def _compiled_function() -> nn.Module:
    function = torch.compile(lambda h: torch.tanh(h) * 2, backend="aot_eager")
    return Net(lambda m, x: m.last(function(m.first(x))))


def _compiled_in_place() -> nn.Module:
    net = Net(plain)
    net.compile(backend="aot_eager")
    return net


def _spare_on_meta() -> nn.Module:
    """As an ensemble keeps a module without numbers to call with others' parameters."""
    net = Net(
        lambda m, x: m.last(torch.func.functional_call(m.spare, dict(m.mid.named_parameters()), m.first(x)))
    )
    net.spare = nn.Linear(5, 5, device="meta").requires_grad_(False)
    return net


WORK: dict[str, Callable[[], nn.Module]] = {
    "reentrant checkpoint": lambda: Net(_reentrant),
    "reentrant checkpoint of a dense block": lambda: Net(_reentrant_dense),
    "reentrant checkpoints in a row": lambda: Net(_reentrant_sequence),
    "compiled part": _compiled_part,
    "compiled forward": _compiled_forward,
    "compiled function": _compiled_function,
    "compiled in place": _compiled_in_place,
    "spare module on the meta device": _spare_on_meta,
    "data parallel": lambda: nn.DataParallel(Net(plain)),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(Net(plain)),
    "symbolic trace": lambda: torch.fx.symbolic_trace(
        nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    ),
}


@pytest.mark.parametrize("name", WORK)
def test_these_work(name: str) -> None:
    torch.manual_seed(6)
    model, x = WORK[name](), inputs(9)
    jac = jacobian(model, x, chunk=5)
    with torch.compiler.set_stance("force_eager"):
        _, expected = oracle(_not_reentrant(model), x)
    assert_blocks(jac, expected)


def _not_reentrant(model: Any) -> nn.Module:
    """The same function without what torch.autograd.grad refuses."""
    same = {
        _reentrant: plain,
        _reentrant_dense: lambda m, x: m.last(torch.tanh(torch.tanh(m.first(x)) @ m.mid.weight + m.mid.bias)),
        _reentrant_sequence: lambda m, x: m.last(torch.tanh(m.mid(torch.tanh(m.mid(m.first(x)))))),
    }
    if isinstance(model, Net) and model.function in same:
        model.function = same[model.function]
    return model


def test_layers_of_compiled_parts_and_checkpoints_have_factors() -> None:
    for make in (lambda: Net(_reentrant), _compiled_part, _compiled_forward):
        assert all(block.left.arrays for block in jacobian(make(), inputs()))


def test_a_reentrant_checkpoint_of_the_inputs_has_no_gradient() -> None:
    """So it is in training, too: no argument of the checkpoint requires one."""
    net = Net(lambda m, x: m.last(checkpoint(lambda x: torch.tanh(m.first(x)), x, use_reentrant=True)))
    assert jacobian(net, inputs()).names == ("last",)


def test_checkpoints_are_torchs_own_again_afterwards() -> None:
    before = torch.utils.checkpoint.CheckpointFunction
    jacobian(Net(_reentrant), inputs())
    assert torch.utils.checkpoint.CheckpointFunction is before


class Reversible(torch.autograd.Function):
    """Runs a layer again in its backward pass, which gives the layer its gradients by the way."""

    strict = False

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module) -> Tensor:
        ctx.layer = layer
        ctx.save_for_backward(x)
        with torch.no_grad():
            out: Tensor = layer(x)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        if Reversible.strict and not torch.autograd._is_checkpoint_valid():
            raise RuntimeError("not compatible with .grad()")
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = ctx.layer(x)
        torch.autograd.backward(y, gradient)
        return x.grad, None


def _reversible() -> nn.Module:
    return Net(lambda m, x: m.last(Reversible.apply(torch.tanh(m.first(x)), m.mid)))


def test_gradients_past_autograds_graph_are_noticed() -> None:
    model = _reversible()
    model(inputs().float()).sum().backward()
    assert model.mid.weight.grad is not None
    with pytest.raises(ExportError, match=r"parameter mid.weight: .*use_reentrant=False"):
        jacobian(model, inputs())


def test_where_backward_runs_the_advice_is_not_to_check_that(monkeypatch: Any) -> None:
    monkeypatch.setattr(Reversible, "strict", True)
    with pytest.raises(ExportError, match=r"use_reentrant=False") as caught:
        jacobian(_reversible(), inputs())
    assert "check that" not in str(caught.value)


class Cached(nn.Module):
    """Computes something of its parameters once."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.scale, self.kept = nn.Linear(2, 2), nn.Parameter(torch.rand(2)), None

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = torch.tanh(self.scale)
        return self.linear(x) * self.kept


class TwoArguments(nn.Linear):
    def forward(self, x: Tensor, t: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x + t)


class WithoutGrad(Net):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class InInferenceMode(Net):
    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def _partly_on_meta() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, device="meta"))


def _hooked() -> nn.Module:
    def hook(*_: Any) -> None:
        raise ValueError("by a hook")

    net = Net(plain)
    net.mid.register_forward_hook(hook)
    return net


def _lazy_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.LazyBatchNorm1d(), nn.Linear(3, 1))


def _sparse_weight() -> nn.Module:
    net = Net(plain)
    net.extra = nn.Parameter(torch.eye(3).to_sparse())
    return net


def _single_only(m: Any, x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        raise TypeError("single precision alone")
    return plain(m, x)


def _double_only(m: Any, x: Tensor) -> Tensor:
    return plain(m, x) @ torch.eye(2, dtype=torch.float64)


class QuantizedLinear(nn.Module):
    """As torch.ao's: integers, no parameters, and single precision."""

    __module__ = "torch.ao.nn.quantized.dynamic.modules.linear"

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("expected scalar type Float but found Double")
        return (x * 8).round() / 8


# name -> (model, what the refusal must say, options)
REFUSED: dict[str, tuple[Callable[[], nn.Module], str, dict[str, Any]]] = {
    "meta device": (lambda: nn.Linear(2, 1, device="meta"), r"parameter weight: .*to_empty", {}),
    "partly on the meta device": (_partly_on_meta, r"to_empty.*1\.weight", {}),
    "quantised": (lambda: nn.Sequential(QuantizedLinear()), "before quantisation", {}),
    "quantised in part": (
        lambda: nn.Sequential(nn.Linear(2, 3), QuantizedLinear()),
        r"before 1 \(QuantizedLinear\) was quantised",
        {},
    ),
    "lazy buffers": (_lazy_norm, "run the model once", {}),
    "kept from an earlier pass": (Cached, "keep no result of an earlier forward pass", {}),
    "two arguments": (lambda: TwoArguments(2, 1), r"torch.cat\(\[x, t\], 1\)", {}),
    "raising hook": (_hooked, "ValueError: by a hook", {}),
    "no_grad": (lambda: WithoutGrad(plain), r"no_grad\(\)", {}),
    "inference_mode": (lambda: InInferenceMode(plain), r"inference_mode\(\)", {}),
    "by NumPy": (
        lambda: Net(lambda m, x: torch.from_numpy(plain(m, x).detach().numpy())),
        "NumPy from forward",
        {},
    ),
    "dict": (lambda: Net(lambda m, x: {"rgb": plain(m, x)}), r"outputs\[.rgb.\]", {}),
    "nested tensor": (lambda: Net(lambda m, x: torch.nested.nested_tensor([plain(m, x)])), "nested", {}),
    "sparse outputs": (lambda: Net(lambda m, x: plain(m, x).to_sparse()), "to_dense", {}),
    "sparse parameter": (_sparse_weight, "parameter extra: .*make the sparse tensor of them in forward", {}),
    "single precision alone": (lambda: Net(_single_only), "precision='float32'", {}),
    "double precision alone": (lambda: Net(_double_only), "precision='float64'", {"precision": "float32"}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_helps(name: str) -> None:
    make, said, options = REFUSED[name]
    with pytest.raises(ExportError) as caught:
        jacobian(make(), inputs(), **options)
    message = str(caught.value)
    assert re.search(said, message), message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["single precision alone", "double precision alone"])
def test_the_advised_precision_works(name: str) -> None:
    make, said, _ = REFUSED[name]
    precision = said.split("'")[1]
    assert jacobian(make(), inputs(), precision=precision).dtype == np.dtype(precision)


def test_a_pass_that_does_not_fit_into_memory() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        torch.empty(2**50)
        return plain(m, x)

    with pytest.raises(MemoryBudgetError, match="allocate"):
        jacobian(Net(forward), inputs())


class Mapped(nn.Module):
    """Takes a mapping and returns one."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        return {"loss": self.linear(batch["x"]).sum(), "colour": self.linear(batch["x"])}


class ByKeyword(TwoArguments):
    def forward(self, x: Tensor, *, t: Tensor) -> Tensor:  # type: ignore[override]  # that is the point
        return super().forward(x, t)


class SlicedMapping(Mapped):
    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return super().forward({"x": batch["pos"][:, :2]})


class WithItsInputs(Mapped):
    """Returns its inputs, too, as SIREN does, and a second axis."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        coordinates = batch["x"].clone().detach().requires_grad_(True)
        return {"model_in": coordinates, "model_out": self.linear(coordinates)[:, None]}


class Nested(Mapped):
    """Asks what the mapping holds, and returns a mapping of mappings, as BACON does."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        coordinates = batch["coords"] if "coords" in batch else batch["ray_samples"]
        return {"model_in": batch, "model_out": {"output": [self.linear(coordinates)]}}


class Names(Enum):
    RGB = "rgb"


class OfAnObject(Mapped):
    """Takes an object, and names its outputs by an enumeration, as nerfstudio's fields do."""

    def forward(self, samples: Any) -> dict[Any, Tensor]:
        return {Names.RGB: self.linear(samples.positions)}


@pytest.mark.parametrize(
    ("make", "refusals", "outputs"),
    [
        (lambda: TwoArguments(2, 1), 1, 1),
        (lambda: ByKeyword(2, 1), 1, 1),
        (Mapped, 2, 3),
        (SlicedMapping, 2, 3),
        (WithItsInputs, 3, 3),
        (Nested, 2, 3),
        (OfAnObject, 2, 3),
        (lambda: Net(lambda m, x: plain(m, x)[None]), 1, 2),
    ],
)
def test_the_wrappers_that_are_advised_run(
    make: Callable[[], nn.Module], refusals: int, outputs: int
) -> None:
    """What a refusal says is written, line by line, and then the export runs."""
    x, t = torch.rand(9, 2), torch.rand(9, 2)
    names: dict[str, Any] = {"model": make(), "inputs": x, "x": x, "t": t, "torch": torch, "Names": Names}
    names["make"] = lambda x: SimpleNamespace(positions=x)
    for _ in range(refusals):
        with pytest.raises(ExportError) as caught:
            jacobian(names["model"], names["inputs"])
        remedy = caught.value.remedy
        for line in re.findall(
            r"(inputs = .*?\)|model\.register.*\))(?:;|, with your| takes| puts| leaves|$)", remedy
        ):
            exec(line, names)
    assert jacobian(names["model"], names["inputs"]).outputs == outputs


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.table(x)[:, 0]
        return out


def test_what_else_a_model_may_have_expected() -> None:
    with pytest.raises(ExportError, match=r"write .long\(\) in forward"):
        jacobian(Embedded(), torch.zeros(5, 1, dtype=torch.long))
    with pytest.raises(ExportError, match="when one is evaluated alone; remove statistics across the batch"):
        jacobian(Net(lambda m, x: m.last((h := m.first(x)) / h.std(0))), inputs())
    with pytest.raises(ExportError) as caught:
        jacobian(Net(lambda m, x: _raise("a" * 1000)), inputs())
    assert len(str(caught.value)) < 400


def _raise(text: str) -> Tensor:
    raise RuntimeError(text)
