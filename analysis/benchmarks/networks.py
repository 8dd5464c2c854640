"""Which networks do the benchmarks measure, and what are their kernels by the definition?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SMALL, definition_file
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig

CONFIGS = {
    "mlp": TrainConfig(depth=3, width=64),
    # Small enough that the dense Jacobian of 2048 samples (1.1 GB) fits an ordinary machine.
    "multigrid": TrainConfig(
        encoding="multigrid", levels=8, base=4, growth=1.5, level_features=2, depth=2, width=64
    ),
}


def model(network: str) -> nn.Module:
    """(n, 2) -> (n, 3), as initialised from seed 0, in double precision."""
    return build_model(CONFIGS[network]).double()


def inputs(n: int) -> Tensor:
    """n random points of the unit square; the first ones are the same for every n."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 2, dtype=torch.float64, generator=generator)


def by_jacrev(net: nn.Module, x: Tensor) -> list[Tensor]:
    """torch.func's recipe: per parameter (n, c, *shape)."""
    rows = vmap(jacrev(_single(net)), in_dims=(None, 0))(_values(net), x)
    return list(rows.values())


def by_grad(net: nn.Module, x: Tensor) -> list[Tensor]:
    """The same with one vmap(grad) for every output."""
    single, values = _single(net), _values(net)

    def output(o: int) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
        return lambda named, sample: single(named, sample)[o]

    c = len(single(values, x[0]))
    columns = [vmap(grad(output(o)), in_dims=(None, 0))(values, x) for o in range(c)]
    return [torch.stack([column[name] for column in columns], dim=1) for name in values]


def contract(rows: list[Tensor]) -> Tensor:
    """The kernel (n, n) in trace mode, one matrix product a parameter."""
    return torch.stack([row.flatten(1) @ row.flatten(1).T for row in rows]).sum(dim=0)


def facts(network: str) -> dict[str, Any]:
    """The network's sizes."""
    parameters = sum(parameter.numel() for parameter in model(network).parameters())
    return {"parameters": parameters, "outputs": CONFIGS[network].outputs}


def write_definition(folder: Path, network: str) -> None:
    """The kernel of the first SMALL samples: one backward pass a row of J, one inner product an entry."""
    net, x = model(network), inputs(SMALL)
    rows = np.array([_gradients(net, sample) for sample in x])
    np.save(definition_file(folder, network), by_entries(rows))


def by_entries(jacobian: NDArray[np.float64]) -> NDArray[np.float64]:
    """K[i, j] = sum_o J[i, o] . J[j, o] for J (n, c, p), entry by entry."""
    n = len(jacobian)
    flat = jacobian.reshape(n, -1)
    return np.array([[flat[i] @ flat[j] for j in range(n)] for i in range(n)])


def _gradients(net: nn.Module, sample: Tensor) -> NDArray[np.float64]:
    """J of one sample, (c, p), by plain autograd."""
    outputs, parameters = net(sample[None])[0], list(net.parameters())
    rows = [torch.autograd.grad(output, parameters, retain_graph=True) for output in outputs]
    return np.array([torch.cat([part.flatten() for part in row]).numpy() for row in rows])


def _single(net: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    def outputs(values: dict[str, Tensor], sample: Tensor) -> Tensor:
        found: Tensor = functional_call(net, values, (sample[None],))
        return found[0]

    return outputs


def _values(net: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}
