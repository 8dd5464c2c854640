"""From a network to its kernel: ntkspec, torch.func and the other tools, set up the same way.

Whatever needs an environment is imported when a contender is set up: peers run this file in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import error
from peers import NEURAL_TANGENTS, NNGEOMETRY
from records import Case, Contender, Row, Work, derived

GRAM, EXPORT_GRAM = "ntkspec, from factors", "ntkspec, export + gram"
INTO = "ntkspec, into an array"
FUNC = "torch.func jacrev"
BYTES = {"float64": 8, "float32": 4}


def run_file(folder: str | Path, network: str) -> Path:
    """Where `prepare` leaves the network's run file."""
    return Path(folder) / f"{network}.h5"


def from_factors(case: Case) -> Work:
    """The kernel from factors in memory. No torch in this process."""
    import ntkspec

    with ntkspec.open_run(run_file(case.folder, case.network)) as run:
        jacobian = run.snapshot(-1).jacobian.load(0, case.samples)
    return Work(lambda: ntkspec.gram(jacobian, backend="cpu"), lambda kernel: error(kernel, case))


def into_an_array(case: Case) -> Work:
    """The same into memory that the process has: without the time that the system takes to give it."""
    import numpy as np

    import ntkspec

    with ntkspec.open_run(run_file(case.folder, case.network)) as run:
        jacobian = run.snapshot(-1).jacobian.load(0, case.samples)
    kernel = np.ones((case.samples, case.samples))
    return Work(lambda: ntkspec.gram(jacobian, backend="cpu", out=kernel), lambda found: error(found, case))


def export_and_gram(case: Case) -> Work:
    """From the network to the kernel, checks of the export included."""
    import networks

    import ntkspec
    from ntkspec.export import jacobian

    net, x = networks.model(case.network, case.dtype), networks.inputs(case.samples, case.dtype)

    def run() -> Any:
        if case.dtype == "float64":
            return ntkspec.gram(jacobian(net, x), backend="cpu")
        return ntkspec.gram(jacobian(net, x, precision="float32"), precision="float32", backend="cpu")

    return Work(run, lambda kernel: error(kernel, case))


def torch_func(case: Case) -> Work:
    """From the network to the kernel with torch.func."""
    import func
    import networks

    net, x = networks.model(case.network, case.dtype), networks.inputs(case.samples, case.dtype)
    rows, p = func.by_jacrev(net), sum(parameter.numel() for parameter in net.parameters())
    return Work(lambda: func.kernel(rows, x, p), lambda kernel: error(kernel.numpy(), case))


def neural_tangents(case: Case) -> Work:
    """From the network to the kernel with neural-tangents' structured derivatives."""
    import peer_jax

    return Work(peer_jax.set_up(case), lambda kernel: error(kernel, case))


def nngeometry(case: Case) -> Work:
    """From the network to the kernel with nngeometry."""
    import peer_nngeometry

    return Work(peer_nngeometry.set_up(case), lambda kernel: error(kernel, case))


KERNELS: Mapping[str, Contender] = {
    GRAM: Contender(from_factors),
    INTO: Contender(into_an_array),
    EXPORT_GRAM: Contender(export_and_gram),
    NNGEOMETRY: Contender(nngeometry, NNGEOMETRY),
    NEURAL_TANGENTS: Contender(neural_tangents, NEURAL_TANGENTS),
    FUNC: Contender(torch_func),
}


def memory(rows: Sequence[Row], facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What ntkspec's processes grew by, against the bytes of the kernel and of the factors in double."""
    for row in rows:
        if row.status == "ok" and row.dtype == "float64" and row.contender in (GRAM, EXPORT_GRAM):
            factors = row.samples * int(facts[row.network]["factor_bytes_a_sample"])
            needed = row.samples**2 * BYTES[row.dtype] + factors
            grown = row.peak_bytes - row.start_bytes
            sizes = {"grown_bytes": grown, "factor_bytes": factors, "needed_bytes": needed}
            yield derived(row, **sizes, ratio=grown / needed)
