"""Dense per-sample Jacobians: by torch.func, or sample by sample where torch.func fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ntkspec.export.evaluation import BackwardError, differentiate, evaluate, in_real_numbers
from ntkspec.export.prepare import Owned


def by_vmap(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> list[Tensor]:
    """Return d f_o(x_i) / d parameter for each parameter: (n, c, size), by one vmap(grad) an output.

    Whatever torch.func cannot do (data-dependent control flow, custom autograd functions, some in-place
    operations) raises.

    Shared parameters are given under all their names: functional_call, left to tie them itself, swaps a
    module that has two names twice and leaves its own tensors behind.
    """
    parameters = {p.name: p.parameter.detach() for p in owned}

    def output(o: int, values: dict[str, Tensor], sample: Tensor) -> Tensor:
        named = {name: values[p.name] for p in owned for name in (p.name, *p.shared)}
        outputs: Tensor = functional_call(model, named, (sample[None],), tie_weights=False)
        return outputs[0, o]

    columns: list[list[Tensor]] = [[] for _ in owned]
    with torch.no_grad():
        for o in range(c):
            rows = vmap(grad(output, argnums=1), in_dims=(None, None, 0))(o, parameters, x.clone())
            for column, p in zip(columns, owned, strict=True):
                column.append(in_real_numbers(rows[p.name]).reshape(len(x), -1))
        return [torch.stack(column, dim=1) for column in columns]


def by_loop(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> list[Tensor]:
    """Return the same as `by_vmap` by plain autograd, one sample and output at a time.

    It is slow, and right for every model.
    """
    jacobians = [x.new_zeros(len(x), c, p.size) for p in owned]
    retain = _allows_several(model, owned, x, c)
    for i in range(len(x)):
        for o, gradients in enumerate(_gradients_alone(model, owned, x[i : i + 1], c, retain=retain)):
            for jacobian, gradient in zip(jacobians, gradients, strict=True):
                jacobian[i, o] = gradient
    return jacobians


Entries = tuple[Tensor, Tensor, Tensor]  # sample (m,), position (m,), values (m, c)


def sparse_by_loop(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> list[Entries]:
    """Return the nonzero numbers of each parameter's rows, computed one sample and output at a time.

    For parameters whose dense rows of all samples would not fit.
    """
    by_parameter: list[list[Entries]] = [[] for _ in owned]
    retain = _allows_several(model, owned, x, c)
    for i in range(len(x)):
        rows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in owned]  # place and value, output by output
        for o, gradients in enumerate(_gradients_alone(model, owned, x[i : i + 1], c, retain=retain)):
            for row, gradient in zip(rows, gradients, strict=True):
                places = gradient.nonzero().flatten()
                values = gradient.new_zeros(len(places), c)
                values[:, o] = gradient[places]
                row.append((places, values))
        for entries, row in zip(by_parameter, rows, strict=True):
            if row:
                entries.append(_merged(i, row))
    return [joined(entries, x, c) for entries in by_parameter]


def joined(entries: Sequence[Entries], like: Tensor, c: int) -> Entries:
    """Concatenate entries of c outputs, in the type and on the device of `like`; the list may be empty."""
    none = like.new_zeros(0, dtype=torch.long)
    owner, position, values = zip((none, none, like.new_zeros(0, c)), *entries, strict=True)
    return torch.cat(owner), torch.cat(position), torch.cat(values)


def mostly_zero(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int, share: float) -> dict[str, bool]:
    """Find the parameters whose rows at x (m, d) have few nonzero numbers, over all outputs.

    Only the places of nonzero numbers are kept, not the rows. A parameter is dropped as soon as the nonzero
    part of one of its rows is larger than `share`.

    Returns:
        For the name of each parameter that is left and has a nonzero row, whether different samples have
        nonzero numbers at different places.
    """
    left, first, varies = list(owned), dict[str, Tensor](), dict[str, bool]()
    for i in range(len(x)):
        nonzero = {p.name: torch.zeros(p.size, dtype=torch.bool, device=x.device) for p in left}
        for gradients in _gradients_alone(model, left, x[i : i + 1], c, retain=False):
            for p, gradient in zip(left, gradients, strict=True):
                nonzero[p.name] |= gradient != 0
        left = [p for p in left if int(nonzero[p.name].sum()) <= share * p.size]
        for p in left:
            of_first = first.setdefault(p.name, nonzero[p.name])
            varies[p.name] = varies.get(p.name, False) or not torch.equal(of_first, nonzero[p.name])
        if not left:
            break
    return {p.name: varies[p.name] for p in left if varies[p.name] or bool(first[p.name].any())}


def _gradients_alone(
    model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int, *, retain: bool
) -> Iterator[list[Tensor]]:
    """Yield the gradients of each output at one sample x (1, d), flat; none without a gradient.

    With `retain`, all are taken in one graph.
    """
    outputs = evaluate(model, x, connected=False)
    for o in range(c):
        if not outputs.requires_grad:
            return
        gradients = differentiate(outputs[0, o], [p.parameter for p in owned], retain=retain)
        pairs = zip(gradients, owned, strict=True)
        yield [x.new_zeros(p.size) if g is None else g.flatten() for g, p in pairs]
        if not retain and o < c - 1:
            outputs = evaluate(model, x, connected=False)


def _allows_several(model: nn.Module, owned: Sequence[Owned], x: Tensor, c: int) -> bool:
    """Return whether there are several outputs, and a second backward pass gives what the first one gave."""
    if c == 1:
        return False
    outputs = evaluate(model, x[:1], connected=False)
    if not outputs.requires_grad:
        return False
    parameters = [p.parameter for p in owned]
    try:
        first = [g if g is None else g.clone() for g in differentiate(outputs[0, 0], parameters, retain=True)]
        second = differentiate(outputs[0, 0], parameters)
    except BackwardError:
        return False
    pairs = zip(first, second, strict=True)
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


def _merged(sample: int, row: Sequence[tuple[Tensor, Tensor]]) -> Entries:
    """Merge the entries of a sample's row that are at one position, for different outputs."""
    places, values = (torch.cat(parts) for parts in zip(*row, strict=True))
    unique, inverse = torch.unique(places, return_inverse=True)
    merged = values.new_zeros(len(unique), values.shape[1]).index_add_(0, inverse, values)
    return torch.full_like(unique, sample), unique, merged
