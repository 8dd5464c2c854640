"""Which networks do the benchmarks measure, and what are their kernels by the definition?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SMALL, definition_file
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec.export import RunExporter, jacobian
from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.grid import level_resolutions

CONFIGS = {
    "mlp256": TrainConfig(depth=3, width=256, outputs=1),
    "mlp512": TrainConfig(depth=3, width=512, outputs=1),
    # The encoding (8 levels of 2 features) beside x: an MLP 18-64-64-1.
    "multigrid": TrainConfig(
        encoding="multigrid", levels=8, base=16, growth=1.5, level_features=2, depth=2, width=64, outputs=1
    ),
    # The finest six levels are hashed.
    "multigrid16": TrainConfig(
        encoding="multigrid", levels=16, base=16, growth=1.5, level_features=2, table_size=2**19, depth=2,
        width=64, outputs=1,
    ),
    "baseline": TrainConfig(depth=3, width=64, outputs=1),
}  # fmt: skip


def model(network: str, dtype: str = "float64") -> nn.Module:
    """(n, 2) -> (n, 1), as initialised from seed 0 in single precision, which double holds exactly."""
    net: nn.Module = build_model(CONFIGS[network])
    return net.double() if dtype == "float64" else net


def inputs(n: int, dtype: str = "float64") -> Tensor:
    """n random points of the unit square, exact in single; the first ones are the same for every n."""
    x = torch.rand(n, 2, generator=torch.Generator().manual_seed(0))
    return x.double() if dtype == "float64" else x


def facts(network: str) -> dict[str, Any]:
    """The network's sizes: parameters, what a sample's factors take, and what its dense blocks multiply."""
    jac = jacobian(model(network), inputs(4))
    dense = [block for block in jac if all(factor.nodes is None for factor in block.factors)]
    return {
        "parameters": jac.width,
        "factor_bytes_a_sample": jac.nbytes // 4,
        "dense_widths": sum(sum(block.widths) for block in dense),  # a + b over blocks of two dense factors
    }


def write_run(path: Path, network: str, n: int) -> None:
    """A run file of the network as initialised."""
    with RunExporter(path, inputs=inputs(n), label=network) as run:
        run.snapshot(model(network), step=0, label="init")


def write_weights(folder: Path, network: str, n: int) -> None:
    """Weights and inputs for peers, who cannot import the project; in double precision."""
    config = CONFIGS[network]
    arrays: dict[str, Any] = {
        name: value.detach().numpy() for name, value in model(network).named_parameters()
    }
    levels = config.levels if config.encoding == "multigrid" else 0
    resolutions = level_resolutions(levels, config.base, config.level_growth)
    np.savez(folder / f"{network}.npz", inputs=inputs(n).numpy(), resolutions=resolutions, **arrays)


def write_definition(folder: Path, network: str) -> None:
    """The kernel of the first SMALL samples: one backward pass a row of J, one inner product an entry."""
    net = model(network)
    rows = [_gradient(net, sample) for sample in inputs(SMALL)]
    np.save(definition_file(folder, network), by_entries(_packed(rows)))


def by_entries(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """K[i, j] = J[i] . J[j] for J (n, p), entry by entry."""
    n = len(rows)
    return np.array([[rows[i] @ rows[j] for j in range(n)] for i in range(n)])


def _gradient(net: nn.Module, sample: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """J of one sample by plain autograd: where it is not zero, and what it is there."""
    parts = torch.autograd.grad(net(sample[None])[0, 0], list(net.parameters()))
    row = torch.cat([part.flatten() for part in parts]).numpy()
    at = np.flatnonzero(row)
    return at, row[at]


def _packed(rows: list[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> NDArray[np.float64]:
    """J (n, p) without the columns that are zero in every row: a hashed grid has millions."""
    columns = np.unique(np.concatenate([at for at, _ in rows]))
    packed = np.zeros((len(rows), len(columns)))
    for row, (at, values) in zip(packed, rows, strict=True):
        row[np.searchsorted(columns, at)] = values
    return packed
