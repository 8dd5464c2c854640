"""Predictions beside measurements that no constant was taken from."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ntkspec
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral import Spectrum
from scaling.constants import MEMORY, Constants
from scaling.habits import facts_s, habits_of
from scaling.networks import SETTINGS, in_memory
from scaling.routes import Habits, Route, Work, seconds
from scaling.storage import Storage

SHORT = 1.0  # seconds: what takes less is timed three times
COUNTED = 768  # samples at which the products of a Lanczos iteration are counted
GRAM_SIZES = (1280, 5120)  # of which ranks are taken, too
CASES: tuple[tuple[Route, str, int], ...] = (
    ("file", "mlp", 2560),
    ("file", "multigrid", 5120),
    ("svd", "mlp", 512),
    ("svd", "multigrid", 1536),
    ("dual", "small", 2048),
    ("dual", "small", 6144),
    ("lanczos", "mlp", 1536),
    ("lanczos", "multigrid", 3072),
    ("low-rank", "narrow", 5120),
    ("low-rank", "narrow", 7168),
)


@dataclass(frozen=True)
class Check:
    """One prediction and what was measured."""

    route: Route
    network: str
    n: int
    predicted_s: float
    measured_s: float


def check_all(
    machine: Constants, storage: Storage, say: Callable[[str], None]
) -> tuple[list[Check], dict[str, Habits]]:
    """Measure every case; returns the checks, and the habits of both networks that come with them."""
    say("measuring what a spectrum takes besides eigenvalues")
    facts = {network: facts_s(in_memory(network, COUNTED)) for network in SETTINGS}
    checks, habits = [], {}
    for network in ("mlp", "multigrid"):
        ranks = {}
        for n in GRAM_SIZES:
            say(f"checking gram, {network}, n = {n}")
            jacobian = in_memory(network, n)
            check, spectrum = _checked("gram", network, jacobian, _bare(facts[network]), machine, storage)
            checks.append(check)
            ranks[n] = spectrum.resolved
        habits[network] = habits_of(in_memory(network, COUNTED), ranks)
    for route, network, n in CASES:
        say(f"checking {route}, {network}, n = {n}")
        jacobian = in_memory(network, n)
        known = habits.get(network, _bare(facts[network]))
        if route == "low-rank":  # of which the cost is checked, not the guess of a rank
            solved = ntkspec.spectrum(jacobian, method="cholesky", backend="cpu", memory=MEMORY)
            known = replace(known, rank=int((solved.eigenvalues > 0).sum()))
        checks.append(_checked(route, network, jacobian, known, machine, storage)[0])
    return checks, habits


def _checked(
    route: Route, network: str, jacobian: Jacobian, habits: Habits, machine: Constants, storage: Storage
) -> tuple[Check, Any]:
    run = RUNS[route]
    took, result = _timed(lambda: run(jacobian))
    predicted = seconds(route, Work.of(_kernel(jacobian), habits), machine, storage)
    return Check(route, network, jacobian.samples, predicted, took), result


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, the median of three where they are few, and the last result."""
    took: list[float] = []
    result = None
    while len(took) < (1 if took and took[0] > SHORT else 3):
        start = time.perf_counter()
        result = work()
        took.append(time.perf_counter() - start)
    return statistics.median(took), result


def _kernel(jacobian: Jacobian) -> Kernel:
    return Kernel.from_jacobian(jacobian, backend="cpu", memory=MEMORY)


def _bare(fact_s: float) -> Habits:
    """Habits for routes that do not depend on the rest of them."""
    return Habits(fact_s, products=0, rank_at=1, rank=1, growth=0.0)


def _spectrum(method: Any) -> Callable[[Jacobian], Spectrum]:
    return lambda jacobian: ntkspec.spectrum(jacobian, method=method, backend="cpu", memory=MEMORY)


def _to_file(jacobian: Jacobian) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ntkspec.write_kernels(Path(folder) / "kernels.h5", {"total": jacobian}, backend="cpu", memory=MEMORY)


RUNS: Mapping[Route, Callable[[Jacobian], Any]] = {
    "gram": _spectrum("gram"),
    "file": _to_file,
    "svd": _spectrum("svd"),
    "dual": _spectrum("dual"),
    "lanczos": _spectrum("lanczos"),
    "low-rank": _spectrum("cholesky"),
}
