"""Try to make a report contradict itself: many small networks, exported and analysed, against exact truth.

All encodings and activations, both precisions, samples apart, close together, on lines and in one place, few
and many regions. The eigenvalues of the stored numbers are computed in 60 digits from their exact kernel; the
rank of a ReLU network's own Jacobian behind its encoding as stored is bounded from below by elimination
modulo a prime, its signs decided in rationals.

Run: `make networks`; it prints a summary as JSON, writes it where asked to, and exits 1 on a violation.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import oracles

from hostile import search
from hostile.certify import exact_eigenvalues
from hostile.spectra import violations
from ntkspec.errors import ExportError, UsageError
from ntkspec.export import jacobian
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.mlp import CoordinateNetwork
from ntkspec.report import words
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.spectral.choose import solve_all
from ntkspec.spectral.verify import verify

PRIME = (1 << 127) - 1
Generator = np.random.Generator
Result = tuple[str, Counter[str], list[str]]

ENCODINGS = {
    "identity": {"encoding": "identity"},
    "gaussian": {"encoding": "gaussian"},
    "axis": {"encoding": "axis", "octaves": 2},
    "coarse": {"encoding": "multigrid", "levels": 2, "base": 1, "growth": 2.0},
    "fine": {"encoding": "multigrid", "levels": 2, "base": 8, "growth": 2.0},
    "hashed": {"encoding": "multigrid", "levels": 2, "base": 4, "growth": 2.0, "table_size": 8},
}


def network(rng: Generator, encoding: str) -> CoordinateNetwork:
    """A network as the trainer builds them, a few units wide."""
    options = dict(ENCODINGS[encoding])
    if encoding == "gaussian":
        options |= {"features": int(rng.integers(1, 5)), "sigma": float(rng.choice([0.1, 0.3, 3.0]))}
    config = TrainConfig(
        **options,  # type: ignore[arg-type]
        depth=int(rng.integers(1, 4)),
        width=int(rng.integers(2, 9)),
        activation=str(rng.choice(["relu", "relu", "relu", "relu", "tanh"])),
        seed=int(rng.integers(1 << 30)),
    )
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():  # grids start so small that they do not matter
            parameter.copy_(torch.tensor(rng.standard_normal(parameter.shape) * rng.choice([0.3, 1.0])))
    return model


def samples(rng: Generator) -> np.ndarray:
    """(n, 2) points in the unit square: apart, close together, on a line, in one place."""
    n = int(rng.integers(2, 11))
    x = rng.random((n, 2))
    kind = rng.integers(5)
    if kind == 1:
        x = rng.random(2) + 10.0 ** rng.uniform(-16, -1) * rng.standard_normal((n, 2))
    elif kind == 2:
        x = np.outer(rng.random(n), rng.standard_normal(2)) + rng.random(2)
    elif kind == 3:
        x[1:] = np.where(rng.random((n - 1, 1)) < 0.6, x[:-1], x[1:])
    elif kind == 4:
        x = np.round(x * 8) / 8
    return np.clip(x, 0.0, 1.0)


def try_one(seed: int) -> Result:
    """One network: its export, its spectra, bounds and checks, and what is wrong with them."""
    rng = np.random.default_rng(seed)
    encoding = list(ENCODINGS)[seed % len(ENCODINGS)]
    precision = "float32" if rng.random() < 0.4 else "float64"
    model, x = network(rng, encoding), samples(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            jac = jacobian(model, x, precision=precision)  # type: ignore[arg-type]
        except ExportError as error:  # there is a right answer
            return encoding, Counter({"refused by the exporter": 1}), [f"{error}, {precision}, seed {seed}"]
    outputs: Outputs = ("trace", "full", 0)[int(rng.integers(3))]
    parts = sums_of_blocks(jac, ())
    kernels = sums_of(Kernel.from_jacobian(jac, outputs, backend="cpu", memory=0.1), parts)
    try:
        found = solve_all(kernels)
    except UsageError:  # gradients too small to square
        return encoding, Counter({"out of range": 1}), []
    evidence = verify(kernels, found)
    wrong = [
        f"check {check.name} of {check.of}: {check.worst}" for check in evidence.checks if not check.holds
    ]
    wrong += [f"bound {bound.bound.name} of {bound.of}" for bound in evidence.bounds if not bound.holds]
    counts = Counter(networks=1, reports=len(found))
    for name, spectrum in found.items():
        truth, _ = exact_eigenvalues(oracles.exact_kernel(parts[name], outputs))
        wrong += [f"{name}: {text}" for text in violations(parts[name], outputs, spectrum, truth)]
        lower = [b.bound.values[-1] for b in evidence.bounds if b.of == name and b.bound.side == "lower"]
        if max(lower, default=0.0) > spectrum.smallest_at_most * (1 + 1e-9):
            wrong.append(f"{name}: a lower bound of {max(lower)} above {words.lambda_min(spectrum)}")
        known = spectrum.regions
        counts["eigenvalues"] += len(truth)
        counts["resolved"] += spectrum.resolved
        counts["singular as stored"] += spectrum.singular
        if known is None:
            continue
        counts["with regions"] += 1
        counts["singular as the network's"] += spectrum.network_singular
        counts["small by regions"] += known.independent < spectrum.size
        if known.independent < spectrum.size and truth[known.independent] > known.rest:
            wrong.append(
                f"{name}: eigenvalue {truth[known.independent]} above {known.rest}, the regions' rest"
            )
        if name == "total" and encoding in ("identity", "gaussian", "axis"):
            rank = rank_of_network(model, jac, outputs)
            counts["ranks of networks in exact arithmetic"] += 1
            if rank > known.at_most:
                wrong.append(f"the network has rank {rank}, said to have {known.at_most} at most")
    return encoding, counts, [f"{text}, {encoding}, {precision}, {outputs}, seed {seed}" for text in wrong]


def rank_of_network(model: CoordinateNetwork, jac: Jacobian, outputs: Outputs) -> int:
    """A lower bound on the rank of a ReLU network's J behind its encoding as stored, in exact arithmetic."""
    layers = [layer for layer in model.mlp if isinstance(layer, nn.Linear)]
    first = jac.blocks[0].left
    assert first is not None
    encoded = first.load().to_dense()[:, 0, :-1]  # without the column of ones
    weights = [_fractions(layer.weight.detach().double().numpy()) for layer in layers]
    biases = [_fractions(layer.bias.detach().double().numpy()[None])[0] for layer in layers]
    rows = [row for e in _fractions(encoded) for row in _rows(e, weights, biases, outputs)]
    return _rank_modulo([[_modulo(value) for value in row] for row in rows])


def _fractions(matrix: np.ndarray) -> list[list[Fraction]]:
    return [[Fraction(float(value)) for value in row] for row in matrix]


def _rows(
    e: list[Fraction], weights: list[list[list[Fraction]]], biases: list[list[Fraction]], outputs: Outputs
) -> list[list[Fraction]]:
    """The rows of J at one sample, in the output mode."""
    inputs, on = [e], []
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        before = [
            sum((x * y for x, y in zip(row, inputs[-1], strict=True)), start)
            for row, start in zip(w, b, strict=True)
        ]
        on.append([value > 0 for value in before])
        inputs.append([value if value > 0 else Fraction(0) for value in before])
    found = []
    for o in range(len(biases[-1])):
        gradient, parts = [Fraction(int(k == o)) for k in range(len(biases[-1]))], []
        for layer in range(len(weights) - 1, -1, -1):
            parts.append([x * g for x in (*inputs[layer], Fraction(1)) for g in gradient])
            if layer:
                back = [
                    sum((g * row[k] for g, row in zip(gradient, weights[layer], strict=True)), Fraction(0))
                    for k in range(len(inputs[layer]))
                ]
                gradient = [
                    g if active else Fraction(0) for g, active in zip(back, on[layer - 1], strict=True)
                ]
        found.append([value for part in parts for value in part])
    if outputs == "trace":
        return [[value for row in found for value in row]]
    return found if outputs == "full" else [found[outputs]]


def _modulo(value: Fraction) -> int:
    return value.numerator * pow(value.denominator, -1, PRIME) % PRIME


def _rank_modulo(rows: list[list[int]]) -> int:
    rank = 0
    for column in range(len(rows[0])):
        found = next((k for k in range(rank, len(rows)) if rows[k][column]), None)
        if found is None:
            continue
        rows[rank], rows[found] = rows[found], rows[rank]
        inverse = pow(rows[rank][column], -1, PRIME)
        for k in range(rank + 1, len(rows)):
            if rows[k][column]:
                ratio = rows[k][column] * inverse % PRIME
                rows[k] = [(a - ratio * b) % PRIME for a, b in zip(rows[k], rows[rank], strict=True)]
        rank += 1
        if rank == len(rows):
            break
    return rank


def try_many(seeds: range) -> list[Result]:
    """A batch of networks."""
    torch.set_num_threads(1)
    return [try_one(seed) for seed in seeds]


def summary(results: list[Result]) -> dict[str, object]:
    """Counts by encoding, and what was wrong."""
    kinds = sorted({kind for kind, _, _ in results})
    total = sum((counts for _, counts, _ in results), Counter())
    return {
        **total,
        "violations": [text for _, _, wrong in results for text in wrong],
        "encodings": {
            kind: dict(sum((counts for other, counts, _ in results if other == kind), Counter()))
            for kind in kinds
        },
    }


if __name__ == "__main__":
    sys.exit(search.main(__doc__, 5_000, try_many, summary, batch=50))
