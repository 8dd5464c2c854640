"""What do all eigenvalues of a kernel cost?

Of a formed kernel (`multigrid`, double precision): LAPACK's drivers through NumPy, SciPy and PyTorch, against
ntkspec's own. And of a kernel of low numerical rank (`baseline`, an MLP 2-64-64-64-1 as initialised), from
its factors: `ntkspec.spectrum` by routes auto and gram, the forming of the kernel included, against
eigenvalues of the formed kernel. Errors are differences from SciPy's evd over the largest eigenvalue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import solvers
from common import main
from contenders import run_file
from records import Benchmark, Case, Contender, Row, Work

FULL_RANK, LOW_RANK = "multigrid", "baseline"
AUTO, GRAM = "ntkspec spectrum auto", "ntkspec spectrum gram"


def spectrum(method: Literal["auto", "gram"]) -> Callable[[Case], Work]:
    """A spectrum from factors in memory."""

    def set_up(case: Case) -> Work:
        import ntkspec

        with ntkspec.open_run(run_file(case.folder, case.network)) as run:
            jac = run.snapshot(-1).jacobian.load(0, case.samples)

        def facts(found: Any) -> dict[str, Any]:
            known = {"method": found.method, "reason": found.reason, "resolved": found.resolved}
            return solvers.error(found.eigenvalues[::-1], case) | known

        return Work(lambda: ntkspec.spectrum(jac, method=method, backend="cpu"), facts)

    return set_up


def prepare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """Run files and formed kernels; facts about the networks."""
    import networks

    for network in (FULL_RANK, LOW_RANK):
        networks.write_run(run_file(folder, network), network, max(sizes))
        solvers.write_kernel(folder, network, run_file(folder, network))
    return {network: networks.facts(network) for network in (FULL_RANK, LOW_RANK)}


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """Every solver on the first kernel; on the second, the reference and NumPy beside the spectra."""
    for n in sizes:
        yield from (Case(FULL_RANK, n, name) for name in solvers.SOLVERS)
        yield from (Case(LOW_RANK, n, name) for name in (solvers.EVD, solvers.NUMPY, AUTO, GRAM))


def finish(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Memory beyond the kernel."""
    return {"memory": list(solvers.beyond(rows))}


if __name__ == "__main__":
    lapack = [name for name in solvers.SOLVERS if name != solvers.OURS]
    benchmark = Benchmark(
        "eigen",
        "What do all eigenvalues of a kernel cost?",
        sizes=(8192,),
        quick_sizes=(2048,),
        prepare=prepare,
        contenders={
            **solvers.SOLVERS,
            AUTO: Contender(spectrum("auto")),
            GRAM: Contender(spectrum("gram")),
        },
        cases=cases,
        versus=(*((name, solvers.OURS) for name in lapack), (solvers.NUMPY, AUTO), (GRAM, AUTO)),
        finish=finish,
    )
    main(benchmark, __file__)
