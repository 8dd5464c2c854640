"""Write the run file of a neural field in JAX: `python analysis/jax_example/jax_field.py OUT.h5`.

`make jax-example` runs this in an environment of its own, which has no PyTorch, and analyses the file.
The field is a grid of features, read off bilinearly, and an MLP on top; it learns a ring of waves.
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkspec

SAMPLES, STEPS, RATE = 256, 400, 0.3  # Jacobians are taken at so many points; plain gradient descent
CELLS, FEATURES, WIDTH, OUTPUTS = 16, 2, 32, 3
Parameters = dict[str, Any]

jax.config.update("jax_enable_x64", True)  # in single precision the small eigenvalues are rounding


def start(key: Any) -> Parameters:
    """Draw the parameters: a tree whose keys will name the blocks."""
    grid, first, second = jax.random.split(key, 3)
    table = 0.1 * jax.random.normal(grid, (CELLS + 1, CELLS + 1, FEATURES))
    hidden = jax.random.normal(first, (FEATURES + 2, WIDTH)) / jnp.sqrt(FEATURES + 2)
    output = jax.random.normal(second, (WIDTH, OUTPUTS)) / jnp.sqrt(WIDTH)
    layers = [
        {"kernel": hidden, "bias": jnp.zeros(WIDTH)},
        {"kernel": output, "bias": jnp.zeros(OUTPUTS)},
    ]
    return {"encoding": table, "mlp": layers}


def field(parameters: Parameters, x: Any) -> Any:
    """Evaluate the field at one point (2,) of the unit square; (OUTPUTS,)."""
    corner = jnp.clip(jnp.floor(x * CELLS).astype(int), 0, CELLS - 1)
    u, v = x * CELLS - corner
    i, j = corner
    table = parameters["encoding"]
    left = (1 - v) * table[i, j] + v * table[i, j + 1]
    right = (1 - v) * table[i + 1, j] + v * table[i + 1, j + 1]
    hidden, output = parameters["mlp"]
    encoded = jnp.concatenate([x, (1 - u) * left + u * right])
    return jnp.tanh(encoded @ hidden["kernel"] + hidden["bias"]) @ output["kernel"] + output["bias"]


def main() -> int:
    """Train, write the run file, and hold its kernel against JAX's own."""
    path = sys.argv[1]
    key, points = jax.random.split(jax.random.key(0))
    parameters, x = start(key), jax.random.uniform(points, (SAMPLES, 2))
    radius = jnp.linalg.norm(x - 0.5, axis=1)
    targets = jnp.stack([jnp.sin(40 * radius), jnp.cos(20 * radius), radius], axis=1)

    def loss(parameters: Parameters) -> Any:
        return jnp.mean((jax.vmap(field, (None, 0))(parameters, x) - targets) ** 2)

    step = jax.jit(
        lambda parameters: jax.tree.map(lambda p, g: p - RATE * g, parameters, jax.grad(loss)(parameters))
    )
    for _ in range(STEPS):
        parameters = step(parameters)

    jacobians = jax.vmap(jax.jacrev(field), (None, 0))(parameters, x)  # the tree of the parameters
    ntkspec.write_run(
        path,
        x,
        jax.vmap(field, (None, 0))(parameters, x),
        jacobians,
        targets=targets,
        step=STEPS,
        roles={"encoding": "grid"},
        metrics={"loss": float(loss(parameters))},
        run_label="JAX",
        overwrite=True,
    )

    leaves = [leaf.reshape(SAMPLES, OUTPUTS, -1) for leaf in jax.tree.leaves(jacobians)]
    flat = jnp.concatenate(leaves, axis=2)
    own = np.asarray(jnp.einsum("iop,jop->ij", flat, flat))
    with ntkspec.open_run(path) as run:
        jac = run.snapshot("end").jacobian
        kernel = ntkspec.gram(jac)
    error = float(np.abs(kernel - own).max() / np.abs(own).max())
    print(f"{path}: blocks {', '.join(jac.names)}; kernel differs from JAX's own J J^T by {error:.1e}")
    return 0 if error < 1e-13 else 1


if __name__ == "__main__":
    sys.exit(main())
