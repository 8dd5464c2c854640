"""nngeometry as a contender, in its own environment: PyTorch, NumPy and the standard library alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nngeometry.gram import GramMatrix
from records import Case
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH = 1024  # samples of a block of the kernel; it computes the blocks of the lower half


def set_up(case: Case) -> Callable[[], Any]:
    """Its dense kernel (outputs, n, outputs, n) of the MLP, for one output."""
    stored = np.load(Path(case.folder) / f"{case.network}.npz")
    dtype = getattr(torch, case.dtype)
    torch.set_default_dtype(dtype)  # some of its buffers take the default
    x = torch.from_numpy(stored["inputs"][: case.samples]).to(dtype)
    names = [name for name in stored.files if name.endswith(".weight")]
    modules: list[nn.Module] = []
    for name in names:
        modules += [_linear(stored[name], stored[name.replace(".weight", ".bias")], dtype), nn.ReLU()]
    net = nn.Sequential(*modules[:-1])
    loader = DataLoader(TensorDataset(x), batch_size=BATCH)
    return lambda: GramMatrix(net, loader).to_torch()[0, :, 0, :].detach().numpy()


def _linear(weight: Any, bias: Any, dtype: torch.dtype) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    return linear
