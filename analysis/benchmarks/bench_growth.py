"""How do time and memory of a kernel grow with the number of samples?

`ntkspec.gram` from factors in memory, in double precision. The exponent is the slope of a least-squares line
through the logarithms of time and n, over the larger half of the sizes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures
from common import main
from contenders import GRAM, KERNELS, memory, run_file
from records import Benchmark, Case, Row, derived

NETWORKS = ("mlp256", "multigrid")


def prepare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Run files and definitions; facts about the networks."""
    import networks

    for network in NETWORKS:
        networks.write_definition(folder, network)
        networks.write_run(run_file(folder, network), network, max(*sizes, 256))
    return {network: networks.facts(network) for network in NETWORKS}


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """Every size of every network."""
    yield from (Case(network, n, GRAM) for network in NETWORKS for n in sizes)


def finish(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Exponents, and memory over the least."""
    exponents = []
    for network in NETWORKS:
        timed = [row for row in rows if row.network == network and row.status == "ok"]
        larger = timed[(len(timed) - 1) // 2 :]
        if len(larger) > 1:
            logs = [[math.log(value) for value in values] for values in _columns(larger)]
            slope = statistics.linear_regression(*logs).slope
            exponents.append(derived(larger[-1], exponent=slope, from_samples=larger[0].samples))
    return {"exponents": exponents, "memory": list(memory(rows, facts))}


def _columns(rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    return [row.samples for row in rows], [row.median_s for row in rows]


if __name__ == "__main__":
    benchmark = Benchmark(
        "growth",
        "How do time and memory of a kernel grow with the number of samples?",
        sizes=(1024, 2048, 4096, 8192, 16384),
        quick_sizes=(1024, 2048, 4096),
        prepare=prepare,
        contenders=KERNELS,
        cases=cases,
        finish=finish,
        picture=pictures.growth,
    )
    main(benchmark, __file__)
