"""Tell whether a model is still what a recorder's newest snapshot holds."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ntkspec.export.context import evaluation
from ntkspec.export.evaluation import evaluate
from ntkspec.export.prepare import Precision, prepare, to_tensor
from ntkspec.store.snapshot_reader import Snapshot

ROWS = 256  # samples that are evaluated at a time
# Relative to the largest output: what the number of samples in a batch may change by rounding.
LIMITS = {"float64": 1e-9, "float32": 3e-5}


@dataclass(frozen=True)
class Newest:
    """The newest snapshot of a recorder."""

    id: str
    step: int
    weights: bytes  # see `weights_digest`

    def is_of(self, model: nn.Module, step: int) -> bool:
        """Return whether it is of this step and these weights."""
        return self.step == step and self.weights == weights_digest(model)


def weights_digest(model: nn.Module) -> bytes:
    """Return a digest of all parameters and buffers: names, shapes, numbers, and which of them are trained.

    A tensor that has no numbers to read, such as a sparse one, differs from all others.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> before = weights_digest(net)
        >>> before == weights_digest(net), before == weights_digest(net.requires_grad_(False))
        (True, False)
    """
    digest = hashlib.sha256()
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.requires_grad}\n".encode())
        try:
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        except (RuntimeError, TypeError):  # PyTorch's, of sparse, quantised and meta tensors
            digest.update(os.urandom(digest.digest_size))
    return digest.digest()


def computes(
    model: nn.Module, inputs: NDArray[np.floating], snapshot: Snapshot, precision: Precision
) -> bool:
    """Return whether a model has the outputs of a snapshot, evaluated as for an export, up to rounding.

    Besides its weights, a model may hold what changes them, such as a factor that is annealed.
    """
    stored = snapshot.outputs
    prepared = prepare(model, precision)
    with evaluation(prepared.device, prepared.dtype):
        parts = torch.split(to_tensor(inputs, prepared), ROWS)
        outputs = [evaluate(prepared.model, part, connected=False).detach().cpu().numpy() for part in parts]
    now, limit = np.concatenate(outputs), LIMITS[stored.dtype.name] * np.abs(stored).max()
    return now.shape == stored.shape and bool(np.abs(now - stored).max() <= limit)
