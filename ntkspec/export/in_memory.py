"""The Jacobian of a model in memory."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ntkspec.export.arrays import ArrayLike, as_array
from ntkspec.export.driver import Options, Stream, export
from ntkspec.export.layout import Roles
from ntkspec.export.prepare import ExportWarning, Precision
from ntkspec.jacobian import Block, DenseFactor, Factor, Jacobian, LoadedFactor, SparseFactor
from ntkspec.memory import available_bytes, require


def jacobian(
    model: nn.Module,
    inputs: ArrayLike,
    *,
    roles: Roles | None = None,
    precision: Precision = "float64",
    chunk: int | None = None,
    memory: float | None = None,
) -> Jacobian:
    """Compute the per-sample Jacobian of a model with respect to its trainable parameters, in named blocks.

    The model is evaluated on a copy, in eval mode and in the given precision; it is left untouched.
    `nn.Linear` layers and table lookups become products of factors where that holds, everything else a dense
    block; every block is checked against plain autograd.

    Args:
        model: maps (n, d) to (n, c), each sample on its own.
        inputs: (n, d), a tensor or an array.
        roles: role of the blocks whose parameters' names begin with a prefix, as {"encoding": "grid"}.
            Default: "grid" for table lookups, "network" for all others.
        precision: "float64" (default) or "float32".
        chunk: samples at a time. Default: what fits `memory`.
        memory: GiB that a chunk may take. Default: a quarter of what is free, at most 0.25.

    Returns:
        A `Jacobian` whose blocks are in the order of `model.named_parameters()`, with the activation regions
        of a piecewise-linear network.

    Raises:
        ExportError: the model has no per-sample Jacobian, or it cannot be had.
        MemoryBudgetError: it does not fit into memory.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        >>> jac = jacobian(net, torch.rand(5, 2))
        >>> jac.names, [block.widths for block in jac]
        (('0', '2'), [(3, 8), (9, 1)])
    """
    samples = as_array(inputs, "inputs")
    blocks: list[Block] = []
    regions: list[NDArray[np.int64]] = []
    certain: list[bool] = []

    def consume(outputs: int, bytes_a_sample: int, parts: Stream) -> None:
        need = bytes_a_sample * len(samples)
        require(
            "Jacobian in memory", need, available_bytes(), "take fewer samples, or write it to a run file"
        )
        blocks.clear()
        regions.clear()
        certain.clear()
        for part in parts:
            if not blocks:
                blocks.extend(_empty(block, len(samples)) for block in part.jacobian)
            for whole, some in zip(blocks, part.jacobian, strict=True):
                _fill(whole, some, part.start)
            if part.regions is not None:
                regions.append(part.regions)
                certain.append(part.certain)

    done = export(model, samples, Options(roles, precision, chunk, memory), consume)
    for note in done.notes:
        warnings.warn(note, ExportWarning, stacklevel=2)
    numbers = np.concatenate(regions) if regions else None
    return Jacobian(tuple(blocks), numbers, bool(certain) and all(certain))


def _empty(block: Block, n: int) -> Block:
    return replace(block, samples=n, left=_grown(block.left, n), right=_grown(block.right, n))


def _grown(factor: Factor | None, n: int) -> LoadedFactor | None:
    if factor is None:
        return None
    loaded = factor.load()
    values = _rows(loaded.values, n)
    if isinstance(loaded, SparseFactor):
        return SparseFactor(_rows(loaded.indices, n), values, loaded.columns)
    return DenseFactor(values)


def _rows(array: NDArray[Any], n: int) -> NDArray[Any]:
    return np.empty((n, *array.shape[1:]), dtype=array.dtype)


def _fill(whole: Block, some: Block, start: int) -> None:
    stop = start + some.samples
    for target, source in ((whole.left, some.left), (whole.right, some.right)):
        if target is not None and source is not None:
            view, rows = target.load(start, stop), source.load()
            view.values[...] = rows.values
            if isinstance(view, SparseFactor) and isinstance(rows, SparseFactor):
                view.indices[...] = rows.indices
