"""Write a run file from arrays in memory, of any library; PyTorch is not needed."""

from __future__ import annotations

import os
from collections.abc import Mapping

from numpy.typing import ArrayLike

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import Floats, as_floats
from ntkspec.errors import UsageError, named_path
from ntkspec.store.given import Rows, as_jacobian
from ntkspec.store.new_file import all_or_nothing
from ntkspec.store.texts import check_label, one_level
from ntkspec.store.writer import RunWriter


def write_run(
    path: str | os.PathLike[str],
    inputs: ArrayLike,
    outputs: ArrayLike,
    blocks: object,
    *,
    targets: ArrayLike | None = None,
    step: int = 0,
    label: str = "end",
    indices: ArrayLike | None = None,
    roles: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    run_label: str | None = None,
    config: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a run file of one snapshot from arrays, such as those of JAX and NumPy.

    float32 and float64 are stored as they are, float16 and bfloat16 as float32, integers as float64. A vector
    (n,) of inputs or targets is taken as (n, 1). After an error no file is left. `ntkspec.RunWriter` writes
    several snapshots, and more than memory holds.

    Args:
        path: the run file.
        inputs: (n, d), coordinates as the model received them.
        outputs: (n, c), f(x_i). They may be (n,) if the function has one output; then the arrays of `blocks`
            lack the axis c, too.
        blocks: name -> array (n, c, ...) of d f_o(x_i) / d theta, the parameter's own axes last, or factors
            of it; or a tree of dicts and lists of these, as `jax.vmap(jax.jacrev(f), (None, 0))(parameters,
            x)` returns it. `ntkspec.store.given.as_jacobian` lists all forms that are accepted.
        targets: (n, c), optional.
        step: training step of the snapshot, 0 or more.
        label: of the snapshot, such as "init", "mid", "end", by which `Run.snapshot` finds it.
        indices: (n,) integers, optional: position of each sample in its data set.
        roles: role of the blocks whose names begin with a prefix, as {"encoding": "grid"}. Default:
            "network", or what an `ntkspec.Block` says.
        metrics: numbers, such as {"psnr_db": 31.2}.
        run_label: display name of the run. Default: the file's name without its suffix.
        config: JSON-able mapping, free form.
        overwrite: replace an existing file, at the end.

    Raises:
        UsageError: shapes do not match, or arrays are not of real numbers or contain NaN or Inf.
        OutputError: the file exists, its folder is absent or not writable, or the disk is full.

    Example:
        The model f(x) = x W + b with two outputs, whose Jacobian in W[k, q] is x[k] where q is the output:

        >>> import tempfile, numpy as np, ntkspec
        >>> x, eye = np.linspace(0, 1, 15).reshape(5, 3), np.eye(2)
        >>> jacobians = {"W": np.einsum("ik,oq->iokq", x, eye), "b": np.broadcast_to(eye, (5, 2, 2))}
        >>> path = tempfile.mkdtemp() + "/linear.h5"
        >>> ntkspec.write_run(path, x, x @ np.ones((3, 2)), jacobians, step=100)
        >>> with ntkspec.open_run(path) as run:
        ...     kernel = ntkspec.gram(run.snapshot("end").jacobian)
        >>> bool(np.allclose(kernel, 2 * (x @ x.T + 1)))
        True
    """
    path = named_path(path)
    x, values = _matrix(inputs, "inputs"), as_floats(outputs, "outputs")
    y = _matrix(values, "outputs", len(x))
    rows = Rows(len(x), y.shape[1], values.ndim == 1)
    t = None if targets is None else _matrix(targets, "targets", len(x), rows.c)
    jacobian = as_jacobian(blocks, rows, roles)
    step, id = whole_number(step, "step", 0), one_level(check_label(label, "label"))
    shown_as = path.stem if run_label is None else run_label
    writer = RunWriter(
        path, inputs=x, targets=t, indices=indices, label=shown_as, config=config, overwrite=overwrite
    )
    id = "snapshot" if id in ("", ".", "..") else id
    with (
        all_or_nothing(writer, path) as run,
        run.snapshot(id, step=step, label=label, metrics=metrics) as snapshot,
    ):
        snapshot.write(0, y, jacobian, jacobian.regions, certain=jacobian.regions_certain)


def _matrix(values: ArrayLike, name: str, n: int | None = None, width: int | None = None) -> Floats:
    """Convert to an array (n, width), one row for each sample; a vector (n,) becomes (n, 1)."""
    given = as_floats(values, name)
    array = given[:, None] if given.ndim == 1 else given
    rows, columns = "n" if n is None else n, "width" if width is None else width
    fits = array.ndim == 2 and n in (None, len(array)) and width in (None, array.shape[1])
    if not fits or not array.size:
        raise UsageError(
            name,
            expected=f"an array ({rows}, {columns}), one row a sample",
            got=f"shape {given.shape}",
            remedy="reshape it; inputs, outputs and targets have as many rows",
        )
    return array
