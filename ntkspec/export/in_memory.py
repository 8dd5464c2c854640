"""The Jacobian of a model as a `Jacobian` in memory."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.roles import Roles
from ntkspec.export.arrays import ArrayLike, as_rows
from ntkspec.export.driver import Options, Stream, export
from ntkspec.export.prepare import ExportWarning, Precision
from ntkspec.jacobian import Block, Jacobian
from ntkspec.machine.memory import available_bytes, require


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
    Linear maps become factors and lookups become sparse blocks, however the model implements them; all other
    parameters become dense blocks. Every block is checked against plain autograd. See docs/your-model.md.

    Args:
        model: maps (n, d) to (n, c), each sample on its own.
        inputs: (n, d), a tensor or an array.
        roles: role of the blocks whose parameters' names begin with a prefix, as {"encoding": "grid"}.
            Default: "grid" for lookups that depend on the sample, "network" for all others.
        precision: "float64" (default) or "float32".
        chunk: samples at a time. Default: what fits `memory`.
        memory: GiB that a chunk may take. Default: a quarter of what is free, at most 0.25.

    Returns:
        A `Jacobian` whose blocks are in the order of `model.named_parameters()`, with the activation regions
        of a piecewise-linear network.

    Raises:
        ExportError: the model has no per-sample Jacobian, or it cannot be computed.
        MemoryBudgetError: it does not fit into memory.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        >>> jac = jacobian(net, torch.rand(5, 2))
        >>> jac.names, [block.widths for block in jac]
        (('0', '2'), [(3, 8), (9, 1)])
    """
    samples = as_rows(inputs, "inputs")
    chunk = None if chunk is None else whole_number(chunk, "chunk", 1)

    def collect(outputs: int, bytes_a_sample: int, chunks: Stream) -> Jacobian:
        remedy = "take fewer samples, or write it to a run file"
        require("Jacobian in memory", bytes_a_sample * len(samples), available_bytes(), remedy)
        return _joined(chunks, len(samples))

    done, jac = export(model, samples, Options(roles, precision, memory, chunk), collect)
    for note in done.notes:
        warnings.warn(note, ExportWarning, stacklevel=2)
    return jac


def _joined(chunks: Stream, samples: int) -> Jacobian:
    """Return the Jacobian of all samples, with the regions of the network if it has any."""
    blocks: list[Block] = []
    regions: list[NDArray[np.int64]] = []  # of each chunk
    certain = True
    for chunk in chunks:
        blocks = blocks or [block.empty(samples) for block in chunk.jacobian]
        for whole, block in zip(blocks, chunk.jacobian, strict=True):
            _fill(whole, block, chunk.start)
        if chunk.regions is not None:
            regions.append(chunk.regions)
            certain = certain and chunk.certain
    if not regions:
        return Jacobian(tuple(blocks), None, False)
    return Jacobian(tuple(blocks), np.concatenate(regions), certain)


def _fill(whole: Block, block: Block, start: int) -> None:
    for target, source in zip(whole.factors, block.factors, strict=True):
        for name, array in source.load().arrays.items():
            target.arrays[name][start : start + block.samples] = array
