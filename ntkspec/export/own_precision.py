"""A check whether a model that was trained in single precision is another function in double.

Where rounding decides which row of a table is read, or on which side of a threshold a number lies, it may
decide otherwise in double precision: the kernel is then correct, but that of another network than was
trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ntkspec.export.context import evaluation
from ntkspec.export.copying import deep_copy
from ntkspec.export.evaluation import evaluate, spread
from ntkspec.export.prepare import Prepared
from ntkspec.export.tolerance import largest

COMPARED = 256  # samples, spread over the data
AGREE = 1e-3  # of the largest output: far above rounding, and far below another function


def note_of_precision(prepared: Prepared, x: Tensor) -> tuple[str, ...]:
    """Return a note if a model of single precision gives other outputs in double at x (n, d)."""
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
