"""`spectrum`: choose a route, take it, say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.errors import MemoryBudgetError, NtkspecError, UsageError
from ntkspec.gram import Assembly, blocks_of
from ntkspec.jacobian import Jacobian, Outputs, check_outputs
from ntkspec.memory import GIB, budget_bytes, format_bytes, require
from ntkspec.operator import check_range
from ntkspec.spectral import routes
from ntkspec.spectral.factorised import touched_width
from ntkspec.spectral.floors import Magnitude, magnitude
from ntkspec.spectral.rank import Rank, rank_bound
from ntkspec.spectral.regions import Regions, regions
from ntkspec.spectral.spectrum import Method, Spectrum

MethodChoice = Literal["auto", "gram", "svd", "dual", "cholesky", "lanczos"]
SVD_WORK = 100  # auto takes the svd route up to J of 100 N columns: about 100 times the gram route's work
SVD_FLOPS = 1e12  # about a minute on two cores: beyond that, svd is for those who ask for it
CHOLESKY_FROM = 2048  # rows from which auto looks whether the rank is low: smaller kernels are soon solved
WORTH = 0.1  # and only if it lowers the floor to a tenth
FACTS_SHARE = 4  # times the factors is what looking for exact facts may take


def spectrum(
    jacobian: Jacobian,
    outputs: Outputs = "trace",
    *,
    method: MethodChoice = "auto",
    k: int | None = None,
    vectors: bool = False,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
) -> Spectrum:
    """Eigenvalues of J J^T with their errors and floor.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: "trace", "full" or an output's number.
        method: "gram", "svd", "dual", "cholesky", "lanczos", or "auto": gram, or cholesky where a large
            kernel is of low numerical rank; then svd where these leave eigenvalues unresolved that svd can
            resolve in memory and in about a minute; lanczos where the kernel itself does not fit.
        k: only the k largest eigenvalues.
        vectors: eigenvectors too, as orthonormal columns (by route gram, svd or lanczos).
        precision: in which the kernel is formed and solved; svd and lanczos are float64.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default 80% of what is free.

    Raises:
        MemoryBudgetError: the route does not fit the budget.
        UsageError: a combination that cannot work.
    """
    return spectra(
        {"total": jacobian},
        outputs,
        method=method,
        k=k,
        vectors=vectors,
        precision=precision,
        backend=backend,
        memory=memory,
    )["total"]


def spectra(
    sums: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    method: MethodChoice = "auto",
    k: int | None = None,
    vectors: bool = False,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Spectrum]:
    """Spectra of several sums of blocks of one Jacobian; arguments as for `spectrum`.

    One kernel is in memory at a time: assembling it is a small part of solving it.
    """
    request = _Request(outputs, method, k, vectors, precision, select(backend), budget_bytes(memory))
    first = next(iter(sums.values()))
    check_outputs(outputs, first.outputs)
    size = first.kernel_size(outputs)
    _check_options(method, k, vectors, precision, size)
    say = progress or (lambda _: None)
    say("reading")
    sums = _read_once(sums, request.budget)
    for part in sums.values():
        check_range(part, outputs, precision)
    found = {}
    for name, part in sums.items():
        say(f"eigenvalues of {name}")
        found[name] = _solve(part, request)
    return found


@dataclass(frozen=True)
class _Request:
    """What was asked for: the same for every sum of blocks."""

    outputs: Outputs
    method: MethodChoice
    k: int | None
    vectors: bool
    precision: Precision
    backend: Backend
    budget: int  # bytes

    def kernel_bytes(self, size: int) -> int:
        return size * size * np.dtype(self.precision).itemsize


def _solve(part: Jacobian, ask: _Request) -> Spectrum:
    """The spectrum of one sum of blocks, by the route asked for or chosen."""
    facts = _facts(part, ask)
    if ask.method == "auto":
        found = _choose(part, facts, ask)
    elif ask.method == "gram":
        found = _by_gram(part, facts, ask).because("asked for")
    elif ask.method == "svd":
        found = _by_svd(part, facts, ask).because("asked for")
    elif ask.method == "dual":
        size = facts.magnitude
        found = routes.by_dual(part, ask.outputs, ask.backend, ask.budget, size).because("asked for")
    elif ask.method == "cholesky":
        found = _by_cholesky(part, facts, ask).because("asked for")
    else:
        found = _by_lanczos(part, facts, ask).because("asked for")
    found = found.knowing(facts.rank, facts.regions)
    return found if ask.k is None else found.largest(ask.k)


@dataclass(frozen=True)
class _Facts:
    """What is known of a kernel before it is formed."""

    magnitude: Magnitude
    rank: Rank
    regions: Regions | None


def _facts(part: Jacobian, ask: _Request) -> _Facts:
    working, fits = np.dtype(ask.precision), FACTS_SHARE * part.nbytes <= ask.budget
    size = magnitude(part, ask.outputs, working, fits=fits)
    if not fits:
        unknown = "not looked for: the factors do not fit the memory budget"
        return _Facts(size, Rank(part.kernel_size(ask.outputs), unknown), None)
    part = part.load()
    return _Facts(size, rank_bound(part, ask.outputs), regions(part, ask.outputs))


def _choose(part: Jacobian, facts: _Facts, ask: _Request) -> Spectrum:
    """Route auto: the coarser route that resolves what was asked for, within memory."""
    size = part.kernel_size(ask.outputs)
    need = ask.kernel_bytes(size)
    coarse = None
    small = size < CHOLESKY_FROM or ask.backend.name == "gpu"  # which is fast enough at solving all
    if not small and not ask.vectors and ask.precision == "float64":
        coarse = routes.by_cholesky(part, ask.outputs, ask.budget, facts.magnitude)
    if coarse is None:
        if not _kernel_fits(part, ask):
            found = _by_lanczos(part, facts, ask)
            return found.because(f"the kernel needs {format_bytes(need)}, more than the memory budget")
        coarse = _by_gram(part, facts, ask)
    why = _why_not_svd(part, coarse, facts, ask)
    if why:
        return coarse.because(why)
    return _by_svd(part, facts, ask).because(f"{coarse.method} resolved {coarse.resolved} of {size}")


def _kernel_fits(part: Jacobian, ask: _Request) -> bool:
    try:
        _assembly(part, ask)
    except MemoryBudgetError:
        return False
    return True


def _assembly(part: Jacobian, ask: _Request) -> Assembly:
    return Assembly.of({"total": part}, ask.outputs, ask.precision, ask.backend, ask.budget)


def _by_cholesky(part: Jacobian, facts: _Facts, ask: _Request) -> Spectrum:
    found = routes.by_cholesky(part, ask.outputs, ask.budget, facts.magnitude)
    if found is None:
        raise UsageError(
            "method cholesky",
            expected="a kernel whose numerical rank is below half its size, and memory for that many rows",
            got="one with more to resolve, or a rest lost in rounding, or all zeros, or too little memory",
            remedy="use --method auto or gram",
        )
    return found


def _by_gram(part: Jacobian, facts: _Facts, ask: _Request) -> Spectrum:
    if ask.vectors:
        size = part.kernel_size(ask.outputs)
        require(
            "eigenvectors", 4 * ask.kernel_bytes(size), ask.budget, "raise --memory, or use method lanczos"
        )
    kernel = _assembly(part, ask).assemble(ask.backend)["total"]
    return routes.from_kernel(kernel, part, ask.backend, facts.magnitude, vectors=ask.vectors)


def _by_svd(part: Jacobian, facts: _Facts, ask: _Request) -> Spectrum:
    way = (ask.outputs, ask.backend, ask.budget, facts.magnitude)
    return routes.by_svd(part, *way, vectors=ask.vectors)


def _by_lanczos(part: Jacobian, facts: _Facts, ask: _Request) -> Spectrum:
    way = (ask.outputs, ask.k, ask.budget / GIB, facts.magnitude)
    return routes.by_lanczos(part, *way, vectors=ask.vectors)


def _read_once(sums: Mapping[str, Jacobian], budget: int) -> Mapping[str, Jacobian]:
    """The same sums over blocks in memory, where these take less than a quarter of the budget."""
    blocks = blocks_of(sums)
    if 4 * sum(block.nbytes for block in blocks.values()) > budget:
        return sums
    loaded = {name: block.load() for name, block in blocks.items()}
    return {
        name: replace(part, blocks=tuple(loaded[block] for block in part.names))
        for name, part in sums.items()
    }


def _why_not_svd(part: Jacobian, coarse: Spectrum, facts: _Facts, ask: _Request) -> str:
    """Why the gram route is to be kept, or '' if the svd route should follow."""
    wanted = coarse.size if ask.k is None else ask.k
    if coarse.resolved >= wanted:
        return "resolves all that was asked for"
    finer = routes.svd_floor(part, ask.outputs, facts.magnitude, float(coarse.eigenvalues[0]))
    known = facts.regions
    beyond = known.independent if known is not None and known.rest <= finer else coarse.size
    if coarse.resolved >= min(facts.rank.at_most, beyond):
        return "resolves all up to the rank"
    if ask.precision == "float32":
        return "float32 was asked for"
    if finer > WORTH * coarse.floor:
        return "the stored precision leaves nothing for svd to resolve"
    need = routes.svd_bytes(part, coarse.size)
    if need > ask.budget:
        return f"svd would resolve more but needs {format_bytes(need)}, more than the memory budget"
    width, size = touched_width(part, ask.outputs), coarse.size
    if width > SVD_WORK * size or 2.0 * size**2 * width + 4.0 * size**3 > SVD_FLOPS:
        return "svd would resolve more but takes long; ask for it by --method svd"
    return ""


def _check_options(
    method: MethodChoice, k: int | None, vectors: bool, precision: Precision, size: int
) -> None:
    def wrong(what: str, expected: str, got: str, remedy: str) -> NtkspecError:
        return UsageError(what, expected=expected, got=got, remedy=remedy)

    if method not in get_args(MethodChoice):
        raise wrong("method", " or ".join(get_args(MethodChoice)), repr(method), "choose one of these")
    if precision not in get_args(Precision):
        raise wrong("precision", "float64 or float32", repr(precision), "choose one of these")
    if k is not None and not 1 <= k <= size:
        raise wrong("k", f"1 to {size} eigenvalues", str(k), "ask for fewer")
    if precision == "float32" and method not in ("auto", "gram"):
        raise wrong("precision float32", "method gram or auto", method, "use float64 with this method")
    if vectors and method in ("dual", "cholesky"):
        raise wrong("vectors", "method gram, svd or lanczos", method, "use svd, which is finer")


__all__ = ["Method", "MethodChoice", "spectra", "spectrum"]
