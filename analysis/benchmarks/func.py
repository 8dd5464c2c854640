"""torch.func as a contender: per-sample gradients by vmap(jacrev) or vmap(grad), and their kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

HELD = 9 * 2**30  # bytes of J that are kept; where it is larger, rows are computed again
CHUNK = 256  # samples that are differentiated at once
Rows = Callable[[Tensor], Tensor]  # (m, d) -> J (m, p)


def by_jacrev(net: nn.Module) -> Rows:
    """torch.func's recipe for a Jacobian."""
    single, values = _single(net), _values(net)
    return lambda x: _flat(vmap(jacrev(single), in_dims=(None, 0))(values, x))


def by_grad(net: nn.Module) -> Rows:
    """The same as the gradient of the only output."""
    single, values = _single(net), _values(net)
    gradient = grad(lambda named, sample: single(named, sample)[0])
    return lambda x: _flat(vmap(gradient, in_dims=(None, 0))(values, x))


def dense(rows: Rows, x: Tensor) -> Tensor:
    """J (n, p), filled a chunk at a time so that it is held once."""
    first = rows(x[:CHUNK])
    jac = first.new_empty(len(x), first.shape[1])
    jac[:CHUNK] = first
    for at in range(CHUNK, len(x), CHUNK):
        jac[at : at + CHUNK] = rows(x[at : at + CHUNK])
    return jac


def kernel(rows: Rows, x: Tensor, p: int) -> Tensor:
    """J J^T (n, n) in blocks of rows, the lower half alone; a block of J takes at most HELD bytes."""
    n, step = len(x), max(HELD // (p * x.element_size()), CHUNK)
    out = x.new_empty(n, n)
    for start in range(0, n, step):
        block = x[start : start + step]
        held = x.new_empty(len(block), p)
        for at in range(0, len(block), CHUNK):
            chunk = held[at : at + CHUNK]
            chunk[:] = rows(block[at : at + CHUNK])
            _put(out, held[: at + len(chunk)] @ chunk.T, start, start + at)
        for at in range(0, start, CHUNK):
            stop = min(at + CHUNK, start)
            _put(out, held @ rows(x[at:stop]).T, start, at)
        del held, chunk
    return out


def _put(out: Tensor, tile: Tensor, row: int, column: int) -> None:
    """A tile and its mirror image."""
    height, width = tile.shape
    out[row : row + height, column : column + width] = tile
    out[column : column + width, row : row + height] = tile.T


def _flat(rows: dict[str, Tensor]) -> Tensor:
    return torch.cat([row.reshape(len(row), -1) for row in rows.values()], dim=1)


def _single(net: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    def outputs(values: dict[str, Tensor], sample: Tensor) -> Tensor:
        found: Tensor = functional_call(net, values, (sample[None],))
        return found[0]

    return outputs


def _values(net: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}
