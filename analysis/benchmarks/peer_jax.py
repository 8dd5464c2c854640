"""neural-tangents as a contender, in its own environment: JAX, NumPy and the standard library alone.

JAX takes all cores that the process may use, whatever --threads says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from records import Case

STRUCTURED_DERIVATIVES = 3


def set_up(case: Case) -> Callable[[], Any]:
    """The compiled kernel function: compiling is not timed. `vmap_axes=0` as its documentation advises."""
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    stored = np.load(Path(case.folder) / f"{case.network}.npz")
    x = jnp.asarray(stored["inputs"][: case.samples], dtype=case.dtype)
    resolutions = tuple(int(resolution) for resolution in stored["resolutions"])
    names = [name for name in stored.files if name.startswith("mlp.") and name.endswith(".weight")]
    layers = [_layer(stored, name, case.dtype) for name in names]
    tables = [
        jnp.asarray(stored[f"encoding.levels.{level}.table"], dtype=case.dtype)
        for level in range(len(resolutions))
    ]

    def network(parameters: Any, inputs: Any) -> Any:
        tables, layers = parameters
        levels = zip(tables, resolutions, strict=True)
        hidden = jnp.concatenate([*(_level(table, cells, inputs) for table, cells in levels), inputs], axis=1)
        for weight, bias in layers[:-1]:
            hidden = jax.nn.relu(hidden @ weight + bias)
        weight, bias = layers[-1]
        return hidden @ weight + bias

    kernel = nt.empirical_ntk_fn(
        network, trace_axes=(-1,), vmap_axes=0, implementation=STRUCTURED_DERIVATIVES
    )
    parameters = (tables, layers)
    compiled = jax.jit(kernel).lower(x, None, parameters).compile()
    return lambda: np.asarray(compiled(x, None, parameters).block_until_ready())


def _layer(stored: Any, name: str, dtype: str) -> tuple[Any, Any]:
    weight, bias = stored[name].T, stored[name.replace(".weight", ".bias")]
    return jnp.asarray(weight, dtype=dtype), jnp.asarray(bias, dtype=dtype)


def _level(table: Any, cells: int, x: Any) -> Any:
    """Features of one dense grid level (n, F), linear between the 4 corners of a cell."""
    position = jnp.clip(x, 0, 1) * cells
    cell = jnp.minimum(jnp.floor(position), cells - 1)
    t = position - cell
    features = jnp.zeros((len(x), table.shape[1]), dtype=x.dtype)
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        node = cell.astype(int) + jnp.array(corner)
        weight = jnp.where(jnp.array(corner) == 1, t, 1 - t).prod(axis=1)
        features = features + weight[:, None] * table[node[:, 0] + node[:, 1] * (cells + 1)]
    return features
