"""What does a kernel cost, from the network or from its factors, in ntkspec and in other tools?

Networks of one output, trace mode, on the CPU. `mlp256` and `mlp512` are MLPs 2-w-w-w-1 (ReLU); `multigrid`
has 8 levels of 2 features before an MLP 18-64-64-1; `multigrid16` has 16 levels, the finest six hashed. The
peak rate of a large matrix product in the same run gives the bound 2 (n^2 / 2) sum (a + b) / peak over the
blocks of two dense factors (a, b): of a grid's network alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import main
from contenders import EXPORT_GRAM, FUNC, GRAM, INTO, KERNELS, memory, run_file
from peers import NEURAL_TANGENTS, NNGEOMETRY
from records import Benchmark, Case, Contender, Row, Work, derived

NETWORKS = ("mlp256", "mlp512", "multigrid", "multigrid16")
PRODUCT, MATRICES = "numpy matrix product", "matrices"
SIDE, SMALL_SIDE = 4096, 512  # of the matrices; the latter where fewer than 2048 samples are measured


def product(case: Case) -> Work:
    """A square matrix product, whose rate is the machine's peak."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.random((case.samples, case.samples)).astype(case.dtype) for _ in range(2))
    return Work(lambda: a @ b, lambda _: {"flops": 2 * case.samples**3})


def prepare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Run files, weights and definitions of all networks; facts about them."""
    import networks

    for network in NETWORKS:
        networks.write_definition(folder, network)
        networks.write_weights(folder, network, max(*sizes, 256))
        networks.write_run(run_file(folder, network), network, max(*sizes, 256))
    return {network: networks.facts(network) for network in NETWORKS}


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """All contenders where a dense Jacobian can be had, in single precision for the grid; else ntkspec."""
    side = SIDE if max(sizes) >= 2048 else SMALL_SIDE
    yield from (Case(MATRICES, side, PRODUCT, dtype) for dtype in ("float64", "float32"))
    for n in sizes:
        for network in ("mlp256", "mlp512"):
            # torch.func needs over ten minutes for the wider one
            some = [each for each in KERNELS if (network, each) != ("mlp512", FUNC)]
            yield from (Case(network, n, contender) for contender in some)
        for contender in (EXPORT_GRAM, NEURAL_TANGENTS, FUNC):
            yield Case("multigrid", n // 2, contender, "float32")
        for network in ("multigrid", "multigrid16"):
            yield from (Case(network, n, contender) for contender in (GRAM, INTO, EXPORT_GRAM))


def finish(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Peak rates, times over the bound that they set, and memory over the least."""
    rates = {
        row.dtype: row.facts["flops"] / row.median_s
        for row in rows
        if row.contender == PRODUCT and row.status == "ok"
    }
    bounds = []
    for row in rows:
        if row.network in facts and row.status == "ok" and row.dtype in rates:
            flops = row.samples**2 * facts[row.network]["dense_widths"]
            bound = flops / rates[row.dtype]
            bounds.append(derived(row, bound_s=bound, ratio=row.median_s / bound))
    peaks = [
        derived(row, gigaflops=rates[row.dtype] / 1e9)
        for row in rows
        if row.contender == PRODUCT and row.status == "ok"
    ]
    return {"peaks": peaks, "bounds": bounds, "memory": list(memory(rows, facts))}


if __name__ == "__main__":
    benchmark = Benchmark(
        "gram",
        "What does a kernel cost, from the network or from its factors, in ntkspec and in other tools?",
        sizes=(8192,),
        quick_sizes=(2048,),
        prepare=prepare,
        contenders={PRODUCT: Contender(product), **KERNELS},
        cases=cases,
        versus=tuple((other, EXPORT_GRAM) for other in (NNGEOMETRY, NEURAL_TANGENTS, FUNC)),
        finish=finish,
    )
    main(benchmark, __file__)
