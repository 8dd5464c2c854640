"""What does a per-sample Jacobian cost as factors, and what does it cost dense?

An MLP 2-64-64-64-3 in double precision on the CPU: `ntkspec.export.jacobian`, its checks included,
against torch.func's vmap(jacrev), and against one vmap(grad) for every output. Then the bytes that each
of them keeps. Building the network is not timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import Benchmark, Case, Work, main

SIZES = (1024, 2048)
OURS, JACREV, GRAD = "factors", "vmap(jacrev)", "vmap(grad) per output"
NETWORK = "mlp"


def factors(case: Case, n: int) -> Work:
    """ntkspec's factors in memory."""
    import networks

    from ntkspec.export import jacobian

    net, x = networks.model(case.network), networks.inputs(n)
    return Work(lambda: jacobian(net, x), lambda found: networks.by_entries(found.to_dense()))


def jacrev(case: Case, n: int) -> Work:
    """torch.func's recipe."""
    import networks

    net, x = networks.model(case.network), networks.inputs(n)
    return Work(lambda: networks.by_jacrev(net, x), _kernel)


def grad(case: Case, n: int) -> Work:
    """torch.func, an output at a time."""
    import networks

    net, x = networks.model(case.network), networks.inputs(n)
    return Work(lambda: networks.by_grad(net, x), _kernel)


def prepare(folder: Path) -> dict[str, Any]:
    """The definition; the network's sizes and the bytes of its Jacobian."""
    import networks

    from ntkspec.export import jacobian

    networks.write_definition(folder, NETWORK)
    facts = networks.facts(NETWORK)
    net = networks.model(NETWORK)
    kept = []
    for n in SIZES:
        small = jacobian(net, networks.inputs(n)).nbytes
        large = n * facts["outputs"] * facts["parameters"] * 8
        kept.append(
            {"samples": n, "factors": small, "dense": large, "dense/factors": round(large / small, 2)}
        )
    return {NETWORK: facts, "jacobian_bytes": kept}


def _kernel(rows: list[Any]) -> Any:
    """The kernel of a Jacobian as torch.func gives it, entry by entry."""
    import networks
    import torch

    dense = torch.cat([row.flatten(2) for row in rows], dim=2)
    return networks.by_entries(dense.numpy())


if __name__ == "__main__":
    benchmark = Benchmark(
        "export",
        "What does a per-sample Jacobian cost as factors, and what does it cost dense?",
        prepare,
        {OURS: factors, JACREV: jacrev, GRAD: grad},
        tuple((NETWORK, n, name) for n in SIZES for name in (OURS, JACREV, GRAD)),
        ((JACREV, OURS), (GRAD, OURS)),
    )
    main(benchmark, __file__)
