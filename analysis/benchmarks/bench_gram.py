"""What does a kernel cost from factors, and what does it cost otherwise?

Two questions, in double precision and trace mode, on the CPU:

- from a Jacobian that is at hand: `ntkspec.gram` of the factors, against J @ J.T of the dense Jacobian in
  NumPy. Loading the factors and assembling J are not timed; J counts in the peak memory.
- from a network, end to end: `ntkspec.export.jacobian` and `ntkspec.gram`, against torch.func's
  vmap(jacrev) and its contraction. Building the network is not timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import Benchmark, Case, Work, main

SIZES, ALONE = (1024, 2048), 4096  # at ALONE samples only ours is measured
OURS, OURS_END = "factors", "export + factors"
DENSE, FUNC = "dense J @ J.T", "vmap(jacrev) + product"
NETWORKS = ("mlp", "multigrid")


def factors(case: Case, n: int) -> Work:
    """The kernel from factors in memory. No torch in this process."""
    import numpy as np

    import ntkspec

    run = ntkspec.open_run(_run_file(case.folder, case.network))
    jacobian = run.snapshot(-1).jacobian.load(0, n)
    return Work(lambda: ntkspec.gram(jacobian, backend="cpu"), np.asarray)


def dense(case: Case, n: int) -> Work:
    """The kernel from a dense Jacobian (n, c*p), filled a few samples at a time so that it is held once."""
    import numpy as np

    import ntkspec

    stored = ntkspec.open_run(_run_file(case.folder, case.network)).snapshot(-1).jacobian
    jacobian = np.empty((n, stored.outputs * stored.width))
    for start in range(0, n, 32):
        rows = stored.load(start, min(start + 32, n)).to_dense()
        jacobian[start : start + len(rows)] = rows.reshape(len(rows), -1)
    return Work(lambda: jacobian @ jacobian.T, np.asarray)


def export_and_factors(case: Case, n: int) -> Work:
    """From the network to the kernel with ntkspec."""
    import networks
    import numpy as np

    import ntkspec
    from ntkspec.export import jacobian

    net, x = networks.model(case.network), networks.inputs(n)
    return Work(lambda: ntkspec.gram(jacobian(net, x), backend="cpu"), np.asarray)


def func(case: Case, n: int) -> Work:
    """From the network to the kernel with torch.func."""
    import networks

    net, x = networks.model(case.network), networks.inputs(n)
    return Work(lambda: networks.contract(networks.by_jacrev(net, x)), lambda kernel: kernel.numpy())


def prepare(folder: Path) -> dict[str, Any]:
    """Run files and definitions of all networks; facts about them."""
    import networks

    from ntkspec.export import RunExporter

    for network in NETWORKS:
        networks.write_definition(folder, network)
        with RunExporter(_run_file(folder, network), inputs=networks.inputs(ALONE)) as run:
            run.snapshot(networks.model(network), step=0, label="init")
    return {network: networks.facts(network) for network in NETWORKS}


def _run_file(folder: str | Path, network: str) -> Path:
    return Path(folder) / f"{network}.h5"


def _cases() -> tuple[tuple[str, int, str], ...]:
    every = [(net, n, name) for net in NETWORKS for n in SIZES for name in (OURS, DENSE, OURS_END, FUNC)]
    alone = [(net, ALONE, name) for net in NETWORKS for name in (OURS, OURS_END)]
    return tuple(sorted([*every, *alone], key=lambda case: case[:2]))


if __name__ == "__main__":
    benchmark = Benchmark(
        "gram",
        "What does a kernel cost from factors, and what does it cost otherwise?",
        prepare,
        {OURS: factors, DENSE: dense, OURS_END: export_and_factors, FUNC: func},
        _cases(),
        ((DENSE, OURS), (FUNC, OURS_END)),
    )
    main(benchmark, __file__)
