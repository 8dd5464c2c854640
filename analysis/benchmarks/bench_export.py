"""What does a per-sample Jacobian cost as factors, and what does it cost dense?

An MLP 2-256-256-256-1 in double precision on the CPU: `ntkspec.export.jacobian`, its checks included, against
torch.func's vmap(jacrev) and vmap(grad), a chunk of samples at a time into one array. Then the bytes that
each of them keeps, and those of a run file. Building the network is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import SMALL, error, main
from contenders import run_file
from records import Benchmark, Case, Contender, Row, Work, derived

OURS, JACREV, GRAD = "ntkspec, factors", "torch.func vmap(jacrev)", "torch.func vmap(grad)"
NETWORK = "mlp256"


def factors(case: Case) -> Work:
    """ntkspec's factors in memory."""
    import networks

    from ntkspec.export import jacobian

    def facts(found: Any) -> dict[str, Any]:
        rows = found.load(0, SMALL).to_dense()[:, 0]
        return error(networks.by_entries(rows), case) | {"kept_bytes": found.nbytes}

    net, x = networks.model(case.network), networks.inputs(case.samples)
    return Work(lambda: jacobian(net, x), facts)


def dense(name: str) -> Callable[[Case], Work]:
    """torch.func's rows as one array."""

    def set_up(case: Case) -> Work:
        import func
        import networks

        def facts(found: Any) -> dict[str, Any]:
            kept = {"kept_bytes": found.numel() * found.element_size()}
            return error(networks.by_entries(found[:SMALL].numpy()), case) | kept

        net, x = networks.model(case.network), networks.inputs(case.samples)
        rows = {JACREV: func.by_jacrev, GRAD: func.by_grad}[name](net)
        return Work(lambda: func.dense(rows, x), facts)

    return set_up


def prepare(folder: Path, sizes: Sequence[int]) -> dict[str, Any]:
    """The definition; the network's sizes, and the bytes of its run files."""
    import networks

    networks.write_definition(folder, NETWORK)
    facts = networks.facts(NETWORK)
    for n in sizes:
        path = run_file(folder, f"{NETWORK}-{n}")
        networks.write_run(path, NETWORK, n)
        facts[f"run_file_bytes_{n}"] = path.stat().st_size
    return {NETWORK: facts}


def cases(sizes: Sequence[int]) -> Iterator[Case]:
    """All three at every size."""
    for n in sizes:
        yield from (Case(NETWORK, n, name) for name in (OURS, JACREV, GRAD))


def finish(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Bytes: of the run file, of the factors, of the dense Jacobian."""
    found = []
    for row in rows:
        if row.contender == OURS and row.status == "ok":
            sizes = facts[row.network]
            kept, file = row.facts["kept_bytes"], sizes[f"run_file_bytes_{row.samples}"]
            full = 8 * row.samples * sizes["parameters"]
            bytes_ = {"run_file_bytes": file, "factor_bytes": kept, "dense_bytes": full}
            found.append(derived(row, **bytes_, dense_over_run_file=full / file))
    return {"bytes": found}


if __name__ == "__main__":
    benchmark = Benchmark(
        "export",
        "What does a per-sample Jacobian cost as factors, and what does it cost dense?",
        sizes=(8192,),
        quick_sizes=(2048,),
        prepare=prepare,
        contenders={
            OURS: Contender(factors),
            JACREV: Contender(dense(JACREV)),
            GRAD: Contender(dense(GRAD)),
        },
        cases=cases,
        versus=((JACREV, OURS), (GRAD, OURS)),
        finish=finish,
    )
    main(benchmark, __file__)
