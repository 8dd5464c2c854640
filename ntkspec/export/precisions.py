"""Comparisons of a model in single precision with itself in double."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.context import evaluation
from ntkspec.export.copying import deep_copy
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.gradients import gradients_of, random_cotangents
from ntkspec.export.prepare import Precision, Prepared, prepare
from ntkspec.export.tolerance import largest

COMPARED = 256  # samples, spread over the data
AGREE = 1e-3  # of the largest output: far above rounding, and far below another function
DIVISORS = range(1, 20, 2)  # of cotangents, which are then rounded differently
SHRINKS = 1e-6  # from single to double precision, a gradient that is rounding alone falls below this share


@contextlib.contextmanager
def in_other_precision(prepared: Prepared, x: Tensor) -> Iterator[tuple[Prepared, Tensor]]:
    """Copy a model and samples x (n, d) into the other precision, in which this context evaluates them."""
    other: Precision = "float32" if prepared.dtype == torch.float64 else "float64"
    copied = prepare(prepared.source, other)
    with evaluation(copied.device, copied.dtype):
        yield copied, x.to(copied.dtype)


def note_of_precision(prepared: Prepared, x: Tensor) -> tuple[str, ...]:
    """Return a note if a model of single precision gives other outputs in double at x (n, d).

    Where rounding decides which row of a table is read, or on which side of a threshold a number lies, it may
    decide otherwise in double precision: the kernel is then correct, but that of another network than was
    trained.
    """
    trained = {owned.parameter.dtype for owned in prepared.trainable}
    own = {p.dtype for p in prepared.source.parameters() if p.requires_grad}
    if trained != {torch.float64} or own != {torch.float32}:
        return ()
    samples = spread(x, COMPARED)
    try:
        with torch.no_grad():
            outputs = evaluate(prepared.model, samples, connected=False)
            with evaluation(prepared.device, torch.float32), torch.no_grad():
                model = deep_copy(prepared.source)[0].eval()
                single = evaluate(model, samples.to(torch.float32), connected=False)
    except Exception:  # it runs in double precision alone, or cannot be copied as it is
        return ()
    apart = (single.to(outputs.dtype) - outputs).abs().amax(1)
    many = int((apart > AGREE * largest([outputs])).sum())
    if not many:
        return ()
    return (
        f"in single precision, in which it was trained, the model gives other outputs for "
        f"{many} of {len(samples)} samples, by up to {float(apart.max()):.1e}: rounding decides something in "
        "it, such as which row of a table is read; precision='float32' exports it as it was trained",
    )


def dependent_samples(prepared: Prepared, x: Tensor, got: str) -> ExportError:
    """Return the error of a model whose samples x (n, d) seem to depend on each other.

    Where the gradient is zero up to rounding in all parameters, that is the reason instead. The gradient is
    computed in single and in double precision: a small one is about the same in both, mere rounding is far
    smaller in double precision.

    Args:
        prepared: the model.
        x: samples at which a check of outputs or gradients has failed.
        got: what the check has found.
    """
    sizes = _size(prepared, x), _size_in_other_precision(prepared, x)
    single, double = sizes if prepared.dtype == torch.float32 else sizes[::-1]
    if double < SHRINKS * single:
        return ExportError(
            "model",
            expected="outputs that depend on trainable parameters",
            got=f"a gradient that is zero but for rounding (at most {single:.1e} in single precision, "
            f"{double:.1e} in double)",
            remedy="look in forward for what cancels, such as the sum of a softmax, or a softmax or "
            "normalisation over a single entry",
        )
    rounding = ", or rule out rounding by precision='float64'" if prepared.dtype == torch.float32 else ""
    return ExportError(
        "model",
        expected="samples of a batch that do not depend on each other",
        got=got,
        remedy="remove attention, normalisation or statistics across the batch, what depends on its size, "
        f"and half-precision casts{rounding}",
    )


def _size(prepared: Prepared, x: Tensor) -> float:
    """Return the largest absolute gradient for several cotangents: one may show no rounding by chance."""
    sizes = []
    for divisor in DIVISORS:
        outputs = evaluate(prepared.model, x)
        sizes.append(largest(gradients_of(prepared, outputs, random_cotangents(outputs) / divisor).values()))
    return max(sizes)


def _size_in_other_precision(prepared: Prepared, x: Tensor) -> float:
    """Return the same as `_size` in the other precision; NaN where the model does not run in it."""
    try:
        with in_other_precision(prepared, x) as (copied, values):
            return _size(copied, values)
    except Exception:  # the model does not run in it
        return math.nan
