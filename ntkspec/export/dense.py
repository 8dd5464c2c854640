"""Plain per-sample Jacobians of any parameter: torch.func, or one sample after another where that cannot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ntkspec.export.evaluation import dense as real
from ntkspec.export.evaluation import differentiate, evaluate
from ntkspec.export.prepare import Owned


def by_vmap(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> list[Tensor]:
    """d f_o(x_i) / d parameter for each parameter: (n, c, size).

    One vmap(grad) for each output. Whatever torch.func cannot do (data-dependent control flow, custom
    autograd functions, some in-place operations) raises.
    Shared parameters are named here once a module: functional_call, left to tie them itself, swaps a module
    that has two names twice and leaves its own tensors behind.
    """
    parameters = {one.name: one.parameter.detach() for one in owned}

    def output(o: int, values: dict[str, Tensor], sample: Tensor) -> Tensor:
        named = {name: values[one.name] for one in owned for name in (one.name, *one.shared)}
        outputs: Tensor = functional_call(model, named, (sample[None],), tie_weights=False)
        return outputs[0, o]

    columns: list[list[Tensor]] = [[] for _ in owned]
    with torch.no_grad():
        for o in range(c):
            rows = vmap(grad(output, argnums=1), in_dims=(None, None, 0))(o, parameters, x.clone())
            for column, one in zip(columns, owned, strict=True):
                column.append(real(rows[one.name]).reshape(len(x), -1))
        return [torch.stack(column, dim=1) for column in columns]


def by_loop(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> list[Tensor]:
    """The same by plain autograd, a sample and an output at a time: slow, and right for every model."""
    parameters = [one.parameter for one in owned]
    jacobians = [x.new_zeros(len(x), c, one.size) for one in owned]
    for i in range(len(x)):
        for o in range(c):
            outputs = evaluate(model, x[i : i + 1], connected=False)  # some graphs bear one backward pass
            if not outputs.requires_grad:
                break
            gradients = differentiate(outputs[0, o], parameters)
            for jacobian, gradient in zip(jacobians, gradients, strict=True):
                if gradient is not None:
                    jacobian[i, o] = gradient.flatten()
    return jacobians


def sparse_by_loop(
    model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The nonzero numbers of each parameter's rows, a sample and an output at a time.

    Returns, for each, sample (m,), position (m,) and values (m, c): dense rows would not fit.
    """
    found: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in owned]
    parameters = [one.parameter for one in owned]
    for i in range(len(x)):
        for o in range(c):
            outputs = evaluate(model, x[i : i + 1], connected=False)  # some graphs bear one backward pass
            if not outputs.requires_grad:
                break
            for entries, gradient in zip(found, differentiate(outputs[0, o], parameters), strict=True):
                if gradient is not None:
                    flat = gradient.flatten()
                    places = flat.nonzero().flatten()
                    values = flat.new_zeros(len(places), c)
                    values[:, o] = flat[places]
                    entries.append((torch.full_like(places, i), places, values))
    return [_joined(entries, x, c) for entries in found]


def _joined(entries: list[tuple[Tensor, Tensor, Tensor]], x: Tensor, c: int) -> tuple[Tensor, Tensor, Tensor]:
    none = torch.zeros(0, dtype=torch.long, device=x.device)
    samples, places, values = zip(*[(none, none, x.new_zeros(0, c)), *entries], strict=True)
    return torch.cat(samples), torch.cat(places), torch.cat(values)
