"""An export leaves no trace on the caller's model or on torch."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from export_zoo import ZOO, Net, build, inputs
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)

from ntkspec.export import ExportWarning, jacobian
from ntkspec.export.context import evaluation


def _state(model: nn.Module) -> dict[str, Any]:
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "dtypes": {name: value.dtype for name, value in model.state_dict().items()},
        "pointers": {name: value.data_ptr() for name, value in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "required": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "hooks": [
            (
                len(m._forward_hooks),
                len(m._forward_pre_hooks),
                len(m._backward_hooks),
                len(m._backward_pre_hooks),
            )
            for m in model.modules()
        ],
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("name", ZOO)
def test_the_model_is_left_as_it_was(name: str) -> None:
    model = build(name).train()
    if name not in ("half", "bfloat16"):
        model(inputs().float()).square().mean().backward()
    before, random_state = _state(model), torch.get_rng_state()
    jacobian(model, inputs())
    after = _state(model)
    for what in before:
        assert _same(before[what], after[what]), what
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


NOT_RUN = "backward hooks of {} are not run: the Jacobian is the derivative of the function"


def _tripled(model: nn.Module, how: str) -> Any:
    """Register a backward hook that makes gradients three times as large."""
    if how == "after":
        return model[1].register_full_backward_hook(lambda module, g_in, g_out: (3 * g_in[0],))
    if how == "before":
        return model[1].register_full_backward_pre_hook(lambda module, g_out: (3 * g_out[0],))
    if how == "parameter":
        return model[0].weight.register_hook(lambda g: 3 * g)
    if how == "all after":
        return register_module_full_backward_hook(
            lambda module, g_in, g_out: tuple(None if g is None else 3 * g for g in g_in)
        )
    return register_module_full_backward_pre_hook(lambda module, g_out: (3 * g_out[0],))


@pytest.mark.parametrize(
    ("how", "whose"),
    [
        ("after", "module 1"),
        ("before", "module 1"),
        ("parameter", "parameter 0.weight"),
        ("all after", "all modules"),
        ("all before", "all modules"),
    ],
)
def test_backward_hooks_are_not_run_and_this_is_said(how: str, whose: str) -> None:
    expected, x = jacobian(build("tanh"), inputs()).to_dense(), inputs().float()
    model = build("tanh")

    def gradient() -> Tensor:
        return torch.autograd.grad(model(x).sum(), model[0].weight)[0]

    plain = gradient()
    hook = _tripled(model, how)
    try:
        hooked = gradient()
        with pytest.warns(ExportWarning, match=NOT_RUN.format(whose)):
            found = jacobian(model, inputs()).to_dense()
        again = gradient()
    finally:
        hook.remove()
    assert (found == expected).all()
    assert torch.equal(hooked, again)
    assert not torch.allclose(hooked, plain)


def test_what_forward_hooks_on_its_tensors_counts() -> None:
    """As an autograd function with a backward of its own does: it is in the code of the function."""

    def hook(h: Tensor) -> Tensor:
        if h.requires_grad:
            h.register_hook(lambda g: 3 * g)
        return h

    model, plain = (Net(lambda m, x, f=f: m.last(f(torch.tanh(m.first(x))))) for f in (hook, lambda h: h))
    plain.load_state_dict(model.state_dict())
    ours, theirs = jacobian(model, inputs()), jacobian(plain, inputs())
    np.testing.assert_allclose(ours["first"].to_dense(), 3 * theirs["first"].to_dense(), rtol=1e-12)


def test_the_callers_hooks_stay_and_count() -> None:
    """A forward hook is part of the function; a backward hook only rewrites gradients and is not run."""
    model = build("tanh")
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    model[2].register_full_backward_hook(lambda module, g_in, g_out: (7 * g_in[0],))
    plain = build("tanh")
    doubled = nn.Sequential(plain[0], nn.Identity(), *list(plain)[1:])
    doubled[1].register_forward_hook(lambda module, args, output: 2 * output)
    with pytest.warns(ExportWarning, match=NOT_RUN.format("module 2")):
        ours = jacobian(model, inputs())
    theirs = jacobian(doubled, inputs())
    for a, b in zip(ours, theirs, strict=True):
        kernel_a, kernel_b = (
            torch.einsum("nop,mop->nm", t, t) for t in map(torch.tensor, (a.to_dense(), b.to_dense()))
        )
        assert torch.allclose(kernel_a, kernel_b, rtol=1e-12)
    assert ours["0"].left.arrays  # though the hook comes between the layer and the next


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_the_callers_context_does_not_matter(context: Any) -> None:
    model, expected = build("layer norm"), jacobian(build("layer norm"), inputs()).to_dense()
    with context():
        assert (jacobian(model, inputs()).to_dense() == expected).all()


def test_a_model_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model, x = build("tanh"), inputs()
    assert (jacobian(model, x).to_dense() == jacobian(build("tanh"), inputs()).to_dense()).all()


def test_a_failed_forward_leaves_no_trace_either() -> None:
    model = build("layer norm").train()
    before = _state(model)
    with pytest.raises(Exception, match="forward pass"):
        jacobian(model, torch.rand(4, 5))
    after = _state(model)
    assert all(_same(before[what], after[what]) for what in before)
    assert torch.get_default_dtype() == torch.float32


def test_random_numbers_drawn_in_forward_are_given_back() -> None:
    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            draw()  # such as whether to leave out a layer, which then counts in training alone
            out: Tensor = self.linear(x)
            return out

    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), np.random.random(), random.random()  # noqa: NPY002  # what models do

    numpy = np.random.get_bit_generator()
    model, before = Draws(), (torch.get_rng_state(), numpy.state, random.getstate())
    expected = draw()
    torch.set_rng_state(before[0])
    numpy.state = before[1]
    random.setstate(before[2])
    jacobian(model, inputs())
    assert draw() == expected


@pytest.mark.parametrize("name", ["tanh", "layer norm", "hashed multigrid"])
def test_hooks_that_compress_what_is_saved_do_not_count(name: str) -> None:
    """As they save memory in training; the Jacobian is the function's own."""
    expected = jacobian(build(name), inputs()).to_dense()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.float(), lambda x: x.double()):
        found = jacobian(build(name), inputs()).to_dense()
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


def test_numpy_may_have_another_generator() -> None:
    """Whose state is restored without a warning."""
    before, other = np.random.get_bit_generator(), np.random.PCG64(1)
    np.random.set_bit_generator(other)
    try:
        first = other.state
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with evaluation(torch.device("cpu"), torch.float64):
                other.random_raw()
        assert other.state == first
    finally:
        np.random.set_bit_generator(before)
