"""Ways of writing a lookup in a table of one's own, and a linear map with a matrix of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

D, ROWS, WIDTH = 2, 40, 3  # of the samples, of tables, of features


class Field(nn.Module):
    """A table or matrix `p` of any shape, used by a function, and an MLP behind it."""

    def __init__(
        self, shape: tuple[int, ...], function: Callable[[Any, Tensor], Tensor], c: int, width: int
    ) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.randn(shape))
        self.body = nn.Sequential(nn.Linear(width, 5), nn.Tanh(), nn.Linear(5, c))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.function(self, x))


def cells(x: Tensor, count: int = 4) -> Tensor:
    """Rows (n, count) of a table that each sample reads; some of them twice, and row ROWS - 1 never."""
    first = (x[:, :1] * 1000).long() * 7919 + (x[:, 1:] * 1000).long() * 104729
    return (first + torch.arange(count) // 2 * 31) % (ROWS - 1)


def weights(x: Tensor, count: int = 4) -> Tensor:
    """Weights (n, count) as an interpolation has them."""
    found = torch.sin(torch.arange(1, count + 1) * (1 + x[:, :1])) + 1.5
    return found / found.sum(1, keepdim=True)


def _summed(rows: Tensor, x: Tensor) -> Tensor:
    """Interpolate rows (n, count, width)."""
    return (rows * weights(x, rows.shape[1])[..., None]).sum(1)


def _masked(m: Any, x: Tensor) -> Tensor:
    """As sparse voxels do: samples outside of a mask read nothing."""
    links = cells(x)
    mask = (x[:, 0] > 0.3)[:, None] & (links % 3 > 0)
    out = x.new_zeros(*links.shape, WIDTH)
    out[mask] = m.p[links[mask]]
    return _summed(out, x)


def _levels(m: Any, x: Tensor) -> Tensor:
    """One table for two levels."""
    indices = cells(x)[:, None] // 2 + torch.tensor([0, ROWS // 2])[:, None]  # (n, levels, 4)
    return (m.p[indices] * weights(x)[:, None, :, None]).sum(2).flatten(1)


def _slices(m: Any, x: Tensor) -> Tensor:
    half = ROWS // 2
    return _summed(m.p[:half][cells(x) // 2] + m.p[half:][cells(x) // 3], x)


def _bag(m: Any, x: Tensor, mode: str = "sum", **options: Any) -> Tensor:
    if mode == "sum":
        options["per_sample_weights"] = weights(x).to(m.p.dtype)
    return F.embedding_bag(cells(x), m.p, mode=mode, **options)


def _ragged_bag(m: Any, x: Tensor) -> Tensor:
    """Bags of one and of three rows, by offsets."""
    sizes = torch.where(x[:, 0] > 0.5, 3, 1)
    offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    indices = torch.cat([row[:size] for row, size in zip(cells(x), sizes.tolist(), strict=True)])
    return F.embedding_bag(indices, m.p, offsets, mode="mean", include_last_offset=True)


def _points(x: Tensor, d: int) -> Tensor:
    """Points in and a little out of the plane, as grid_sample takes them."""
    points = torch.cat([x, (x[:, :1] + x[:, 1:]) / 2], 1)[:, :d] * 2.6 - 1.3
    return points.view(1, len(x), *[1] * (d - 1), d)


def _plane(m: Any, x: Tensor, table: Tensor | None = None, **options: Any) -> Tensor:
    table = m.p if table is None else table
    d = table.ndim - 2
    return F.grid_sample(table, _points(x, d), **options).reshape(table.shape[1], -1).T


def _three_planes(m: Any, x: Tensor) -> Tensor:
    """Planes stacked as a batch, the features summed."""
    points = torch.stack([_points(x, 2)[0], _points(x.flip(1), 2)[0], _points(1 - x, 2)[0]])
    return F.grid_sample(m.p, points, align_corners=False).mean(0)[..., 0].T


def _look(table: Tensor, indices: Tensor) -> Tensor:
    return table[indices]


def _scripted(m: Any, x: Tensor) -> Tensor:
    """A lookup that torch.jit compiled."""
    with warnings.catch_warnings(action="ignore"):
        look: Callable[[Tensor, Tensor], Tensor] = torch.jit.script(_look)
    return _summed(look(m.p, cells(x)), x)


def _sampled(**options: Any) -> Callable[[Any, Tensor], Tensor]:
    return lambda m, x: _plane(m, x, **options)


PLANE, VOLUME = (1, WIDTH, 5, 6), (1, WIDTH, 3, 4, 5)

# name -> (shape of p, function, width of its result)
LOOKUPS: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor], int]] = {
    "F.embedding": ((ROWS, WIDTH), lambda m, x: _summed(F.embedding(cells(x), m.p), x), WIDTH),
    "padding": (
        (ROWS, WIDTH),
        lambda m, x: _summed(F.embedding(cells(x), m.p, padding_idx=7), x),
        WIDTH,
    ),
    "sparse gradient": (
        (ROWS, WIDTH),
        lambda m, x: _summed(F.embedding(cells(x), m.p, sparse=True), x),
        WIDTH,
    ),
    "index": ((ROWS, WIDTH), lambda m, x: _summed(m.p[cells(x)], x), WIDTH),
    "index, samples last": ((ROWS, WIDTH), lambda m, x: _summed(m.p[cells(x).T].movedim(0, 1), x), WIDTH),
    "index, flattened": (
        (ROWS, WIDTH),
        lambda m, x: _summed(m.p[cells(x).flatten()].view(len(x), -1, WIDTH), x),
        WIDTH,
    ),
    "index, features first": ((WIDTH, ROWS), lambda m, x: _summed(m.p[:, cells(x)].movedim(0, 2), x), WIDTH),
    "index in two axes": (
        (8, 5, WIDTH),
        lambda m, x: _summed(m.p[cells(x) // 5, cells(x) % 5], x),
        WIDTH,
    ),
    "index of numbers": ((ROWS,), lambda m, x: m.p[cells(x)] * weights(x), 4),
    "mask": ((ROWS, WIDTH), _masked, WIDTH),
    "index_select": (
        (ROWS, WIDTH),
        lambda m, x: _summed(m.p.index_select(0, cells(x).flatten()).view(len(x), -1, WIDTH), x),
        WIDTH,
    ),
    "gather": (
        (ROWS, WIDTH),
        lambda m, x: m.p.gather(0, cells(x, WIDTH)) + m.p.gather(0, cells(1 - x, WIDTH)) * x[:, :1],
        WIDTH,
    ),
    "take_along_dim": ((ROWS, WIDTH), lambda m, x: torch.take_along_dim(m.p, cells(x, WIDTH), 0), WIDTH),
    "take": ((ROWS, WIDTH), lambda m, x: m.p.take(cells(x)) * weights(x), 4),
    "bag, weighted": ((ROWS, WIDTH), _bag, WIDTH),
    "bag, mean": ((ROWS, WIDTH), lambda m, x: _bag(m, x, "mean", padding_idx=3), WIDTH),
    "bag of any size": ((ROWS, WIDTH), _ragged_bag, WIDTH),
    "levels of one table": ((ROWS, WIDTH), _levels, 2 * WIDTH),
    "slices of one table": ((ROWS, WIDTH), _slices, WIDTH),
    "a slice of a table": ((ROWS, WIDTH + 2), lambda m, x: _summed(m.p[:, -WIDTH:][cells(x)], x), WIDTH),
    "unbound levels": (
        (2, ROWS, WIDTH),
        lambda m, x: torch.cat([_summed(one[cells(x)], x) for one in m.p.unbind()], 1),
        2 * WIDTH,
    ),
    "split levels": (
        (ROWS, WIDTH),
        lambda m, x: torch.cat([_summed(one[cells(x) % 9], x) for one in m.p.split([10, 30])], 1),
        2 * WIDTH,
    ),
    "permuted and copied": (
        (1, WIDTH, 5, 8),
        lambda m, x: _summed(m.p.permute(0, 2, 3, 1).contiguous().view(-1, WIDTH)[cells(x)], x),
        WIDTH,
    ),
    "with a row of another tensor": (
        (ROWS, WIDTH),
        lambda m, x: _summed(torch.cat([m.p, m.p.new_zeros(1, WIDTH)])[cells(x) + 1], x),
        WIDTH,
    ),
    "scaled": ((ROWS, WIDTH), lambda m, x: _summed((m.p * 0.25)[cells(x)], x), WIDTH),
    "expanded": (
        (ROWS, WIDTH),
        lambda m, x: m.p.expand(len(x), -1, -1).gather(1, cells(x)[..., None].expand(-1, -1, WIDTH)).sum(1),
        WIDTH,
    ),
    "scripted": ((ROWS, WIDTH), _scripted, WIDTH),
    "used twice": ((ROWS, WIDTH), lambda m, x: _summed(m.p[cells(x)] * m.p[cells(1 - x)], x), WIDTH),
    "looked up and squared": ((ROWS, WIDTH), lambda m, x: _summed(torch.tanh(m.p[cells(x)]) ** 2, x), WIDTH),
    "bilinear": (PLANE, _sampled(align_corners=True), WIDTH),
    "bilinear, reflected": (PLANE, _sampled(padding_mode="reflection", align_corners=False), WIDTH),
    "bilinear, border": (PLANE, _sampled(padding_mode="border", align_corners=False), WIDTH),
    "nearest": (PLANE, _sampled(mode="nearest", align_corners=True), WIDTH),
    "bicubic": (PLANE, _sampled(mode="bicubic", align_corners=False), WIDTH),
    "trilinear": (VOLUME, _sampled(align_corners=True), WIDTH),
    "trilinear, reflected": (VOLUME, _sampled(padding_mode="reflection", align_corners=True), WIDTH),
    "plane of some channels": (
        (1, 5, 4, 4),
        lambda m, x: _plane(m, x, m.p[:, -WIDTH:], align_corners=True),
        WIDTH,
    ),
    "planes in a batch": ((3, WIDTH, 4, 4), _three_planes, WIDTH),
    "planes multiplied": (
        PLANE,
        lambda m, x: _plane(m, x, align_corners=True) * _plane(m, x.flip(1), align_corners=True),
        WIDTH,
    ),
}


def _same_matrix(m: Any, x: Tensor) -> Tensor:
    return x @ m.p


# name -> (shape of p, function): blocks of factors
PRODUCTS: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor]]] = {
    "F.linear": ((WIDTH, D), lambda m, x: F.linear(x, m.p)),
    "F.linear with a shift": ((WIDTH, D), lambda m, x: F.linear(x, m.p, m.shift)),
    "matmul": ((D, WIDTH), _same_matrix),
    "matmul and a shift": ((D, WIDTH), lambda m, x: x @ m.p + m.shift),
    "a shift in place": ((D, WIDTH), lambda m, x: (x @ m.p).add_(m.shift)),
    "mm": ((WIDTH, D), lambda m, x: torch.mm(x, m.p.t())),
    "addmm": ((D, WIDTH), lambda m, x: torch.addmm(m.shift, x, m.p, beta=0.5, alpha=2)),
    "einsum": ((WIDTH, D), lambda m, x: torch.einsum("ni,oi->no", x, m.p) + m.shift),
    "matrix first": ((WIDTH, D), lambda m, x: (m.p @ x.T).T + m.shift),
    "square": ((D, D), lambda m, x: F.pad(torch.tanh(x @ m.p), (0, 1))),
    "gain": ((WIDTH, D), lambda m, x: F.linear(x, m.p * 0.3, m.shift * 2)),
    "in three axes": ((D, 1, WIDTH), lambda m, x: x @ m.p.squeeze(1)),
    "several matrices": ((2, D, WIDTH), lambda m, x: torch.einsum("nd,edh->enh", x, m.p).tanh().sum(0)),
    "flipped": ((WIDTH, D), lambda m, x: F.linear(x, m.p.flip(1).view(WIDTH, D))),
    "one position": ((WIDTH, D), lambda m, x: F.linear(x[:, None], m.p)[:, 0]),
}


def shared(m: Any, x: Tensor) -> Tensor:
    """Samples read a position, which is the same for all."""
    return torch.tanh(x[:, :1] + m.p[torch.arange(WIDTH)])


# Uses that are no lookup, or not of it alone: dense, and right. name -> (shape of p, function)
LEAKS: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor]]] = {
    "table and its mean": ((ROWS, WIDTH), lambda m, x: _summed(m.p[cells(x)], x) + m.p.mean(0)),
    "divided by the table": (
        (ROWS, WIDTH),
        lambda m, x: _summed(torch.div(torch.ones(1), m.p.abs() + 1)[cells(x)], x),
    ),
    "one over the table": ((ROWS, WIDTH), lambda m, x: _summed((torch.ones(1) / m.p)[cells(x)], x)),
    "function of the table": ((ROWS, WIDTH), lambda m, x: _summed(torch.tanh(m.p)[cells(x)], x)),
    "normalised table": ((ROWS, WIDTH), lambda m, x: _summed(F.normalize(m.p, dim=1)[cells(x)], x)),
    "shared by samples": ((WIDTH,), shared),
    "upsampled plane": (
        PLANE,
        lambda m, x: _plane(m, x, F.interpolate(m.p, scale_factor=2, mode="nearest"), align_corners=True),
    ),
    "part of a matrix": ((D + 1, WIDTH), lambda m, x: x @ m.p[:D]),
    "matrix and its norm": ((D, WIDTH), lambda m, x: x @ m.p / m.p.norm()),
    "batch of products": ((D, WIDTH), lambda m, x: torch.bmm(x[:, None], m.p.expand(len(x), -1, -1))[:, 0]),
    "matrix twice": ((WIDTH, WIDTH), lambda m, x: torch.tanh(F.pad(x, (0, 1)) @ m.p) @ m.p),
    "matrix and its transpose": ((WIDTH, WIDTH), lambda m, x: torch.tanh(F.pad(x, (0, 1)) @ m.p) @ m.p.T),
    "shift twice": ((WIDTH,), lambda m, x: torch.tanh(F.pad(x, (0, 1)) + m.p) + m.p),
    "trained positions": (
        (D,),
        lambda m, x: F.grid_sample(m.image, (_points(x, D) * m.p), align_corners=True).reshape(WIDTH, -1).T,
    ),
}


def build(
    shape: tuple[int, ...], function: Callable[[Any, Tensor], Tensor], c: int, width: int = WIDTH
) -> Field:
    """A field, from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        field = Field(shape, function, c, width)
        field.shift = nn.Parameter(torch.randn(WIDTH))
        field.register_buffer("image", torch.randn(PLANE))
    return field


class OwnLookup(torch.autograd.Function):
    """A lookup as CUDA extensions write it: nobody sees what it reads."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.shape = table.shape
        return table[indices]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        table = gradient.new_zeros(ctx.shape)
        return table.index_put_((indices,), gradient, accumulate=True), None


def _steps(m: Any, x: Tensor, count: int = 3) -> Tensor:
    h = torch.tanh(m.embed(x))
    for _ in range(count):
        h = torch.tanh(h @ m.p + m.gain)
    return h[:, :WIDTH]


def _tokens(x: Tensor, width: int, count: int = 3) -> Tensor:
    """Tokens (n, count, width) of a sample."""
    return torch.sin(torch.arange(1, count * width + 1).view(count, width) * (x.sum(1)[:, None, None] + 0.1))


def _masked_steps(m: Any, x: Tensor) -> Tensor:
    """Some samples take a second step."""
    h = torch.tanh(m.embed(x) @ m.p)
    again = x[:, 0] > 0.5
    h = h.index_put((again.nonzero().flatten(),), torch.tanh(h[again] @ m.p))
    return h[:, :WIDTH]


def _flipped(m: Any, x: Tensor) -> Tensor:
    return (m.embed(x).flip(0) @ m.p).flip(0)[:, :WIDTH]


SIDE = 24

# Matrices (SIDE, SIDE) that a sample uses several times, or in another order. name -> (function, most uses)
SEVERAL: dict[str, tuple[Callable[[Any, Tensor], Tensor], int]] = {
    "steps of a recurrence": (_steps, 3),
    "tokens": (lambda m, x: (_tokens(x, SIDE) @ m.p).tanh().sum(1)[:, :WIDTH], 3),
    "tokens with a shift": (
        lambda m, x: F.linear(_tokens(x, SIDE), m.p, m.gain).tanh().prod(1)[:, :WIDTH],
        3,
    ),
    "tokens first": (
        lambda m, x: (_tokens(x, SIDE).movedim(1, 0) @ m.p + m.gain).tanh().sum(0)[:, :WIDTH],
        3,
    ),
    "tokens and once more": (
        lambda m, x: F.linear(F.linear(_tokens(x, SIDE), m.p).tanh().sum(1), m.p, m.gain)[:, :WIDTH],
        4,
    ),
    "some samples twice": (_masked_steps, 2),
    "samples in another order": (_flipped, 1),
}


def several(function: Callable[[Any, Tensor], Tensor], c: int) -> Field:
    """A field with a matrix (SIDE, SIDE), a shift (SIDE,) and a layer before them."""
    field = build((SIDE, SIDE), function, c)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        field.p = nn.Parameter(torch.randn(SIDE, SIDE) / SIDE**0.5)
        field.gain, field.embed = nn.Parameter(torch.randn(SIDE)), nn.Linear(D, SIDE)
    return field
