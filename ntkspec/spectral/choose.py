"""`spectrum`: choose a solver for a kernel, run it, and record why it was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

from ntkspec.arguments.counts import whole_number
from ntkspec.backend import Backend, Choice, CpuBackend, Precision
from ntkspec.errors import UsageError, require_one_of
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.problem import Kernel, blocks_of, sums_of
from ntkspec.kernel.value_range import check_range
from ntkspec.machine.memory import format_bytes
from ntkspec.spectral.rank import rank_of
from ntkspec.spectral.record import Method, Spectrum
from ntkspec.spectral.regions import regions_of
from ntkspec.spectral.solvers import SOLVERS, Solver

MethodChoice = Literal["auto", Method]
Progress = Callable[[str], None]  # called with what is being done
AUTO = "gram, or cholesky where a large kernel is of low rank, then svd where these resolve too little"
SVD_WORK = 100  # auto takes solver svd up to J of 100 N columns: about 100 times the work of solver gram
SVD_FLOPS = 1e12  # about a minute on two cores: beyond that, svd is for those who ask for it
CHOLESKY_FROM = 2048  # rows from which auto looks whether the rank is low: smaller kernels are soon solved
MOST_SAMPLES = 2**32  # the most samples that a plan looks at
WORTH = 0.1  # auto takes solver svd only if it lowers the floor to a tenth


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
    """Find the eigenvalues of J J^T with their errors and floor.

    Args:
        jacobian: blocks, in memory or in a run file.
        outputs: "trace", "full" or an output's number.
        method: a solver, see `ntkspec.spectral.solvers`, or "auto": gram, or cholesky where a large kernel is
            of low numerical rank; then svd where these leave eigenvalues unresolved that svd can resolve in
            memory and in about a minute; lanczos where the kernel itself does not fit.
        k: only the k largest eigenvalues.
        vectors: eigenvectors too, as orthonormal columns, by solvers that give them.
        precision: in which the kernel is formed and solved; all solvers but gram are float64.
        backend: "auto", "cpu" or "gpu".
        memory: budget in GiB; default 80% of what is free.

    Raises:
        MemoryBudgetError: the solver does not fit the budget.
        UsageError: a combination that cannot work.

    Example:
        >>> import numpy as np
        >>> from ntkspec.jacobian import Block, DenseFactor
        >>> rows = DenseFactor(np.array([[[3.0, 0.0]], [[0.0, 2.0]]]))
        >>> solved = spectrum(Jacobian((Block("theta", "network", 2, 1, None, rows),)))
        >>> solved.eigenvalues.round(9).tolist(), solved.resolved
        ([9.0, 4.0], 2)
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
    parts: Mapping[str, Jacobian],
    outputs: Outputs = "trace",
    *,
    method: MethodChoice = "auto",
    k: int | None = None,
    vectors: bool = False,
    precision: Precision = "float64",
    backend: Choice | Backend = "auto",
    memory: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Spectrum]:
    """Find the spectra of several sums of blocks of one Jacobian; arguments and errors as for `spectrum`.

    One kernel is in memory at a time: assembling it is a small part of solving it.

    Args:
        parts: name -> the blocks to add up, e.g. {"total": jac, "no_grid": jac.without("grid")}.
        progress: called with what is being done.
    """
    whole = Jacobian(tuple(blocks_of(parts).values()))
    kernel = Kernel.from_jacobian(whole, outputs, precision=precision, backend=backend, memory=memory)
    k = check_options(kernel, method, k, vectors)
    if progress:
        progress("reading")
    return solve_all(sums_of(kernel, parts), method, k, vectors=vectors, progress=progress)


def solve_all(
    kernels: Mapping[str, Kernel],
    method: MethodChoice = "auto",
    k: int | None = None,
    *,
    vectors: bool = False,
    progress: Progress | None = None,
) -> dict[str, Spectrum]:
    """Find the spectra of several kernels, as `ntkspec.kernel.problem.sums_of` makes them; see `spectra`."""
    for name, kernel in kernels.items():
        check_range(kernel, f"kernel {name}")
    solved = {}
    for name, kernel in kernels.items():
        if progress:
            progress(f"eigenvalues of {name}")
        solved[name] = solve(kernel, method, k, vectors=vectors)
    return solved


def solve(
    kernel: Kernel, method: MethodChoice = "auto", k: int | None = None, *, vectors: bool = False
) -> Spectrum:
    """Find the spectrum of one kernel by the solver asked for or chosen; see `spectrum`."""
    if method == "auto":
        solved = _choose(kernel, k, vectors)
    else:
        solved = _by(method, kernel, k, vectors).because("asked for")
    solved = solved.knowing(kernel.fact(rank_of), kernel.fact(regions_of))
    return solved if k is None else solved.largest(k)


def plan(name: str, kernel: Kernel, k: int | None = None) -> Iterator[str]:
    """Yield a line for each solver, before any allocation: the memory that it needs, and the largest n."""
    budget, places = format_bytes(kernel.budget), {"": kernel}
    if device := kernel.backend.device:
        budget = f"{budget} on the host, {format_bytes(kernel.room)} on the device ({device})"
        places = {" on the device": kernel, " on the host": kernel.replaced(backend=CpuBackend())}
    yield f"memory plan of {name}, budget {budget}"
    for method, solver in SOLVERS.items():
        need = solver.need(kernel, k)
        verdict = ("fits" + " on the host" * need.on_host) if need.fits else "does not fit"
        most = ", ".join(f"{largest_samples(solver, at, k):,}{place}" for place, at in places.items())
        yield f"  {method:<9}{format_bytes(need.needed):>9}  {verdict}: {need.note}; largest n: {most}"


def largest_samples(solver: Solver, kernel: Kernel, k: int | None = None) -> int:
    """Return the largest number of samples whose kernel a solver can solve in memory; 0 if there is none."""
    kernel = kernel.sized(kernel.rows.samples)  # no longer in a file

    def fits(samples: int) -> bool:
        need = solver.need(kernel.sized(samples), k)
        return need.fits and not need.on_host

    low, high = 0, 1
    while high < MOST_SAMPLES and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _by(method: Method, kernel: Kernel, k: int | None, vectors: bool) -> Spectrum:
    """Find the spectrum by one solver; raise `UsageError` if it declines the kernel."""
    solved = SOLVERS[method].solve(kernel, k, vectors=vectors)
    if solved is None:
        expected, got = SOLVERS[method].declines
        raise UsageError(f"method {method}", expected=expected, got=got, remedy="use ⟦--method=auto⟧ or gram")
    return solved


def _choose(kernel: Kernel, k: int | None, vectors: bool) -> Spectrum:
    """Find the spectrum by the coarsest solver that resolves what was asked for and fits in memory."""
    coarse = None
    if not _soon_solved(kernel) and not vectors and kernel.precision == "float64":
        coarse = SOLVERS["cholesky"].solve(kernel)
    if coarse is None:
        if not SOLVERS["gram"].need(kernel, vectors=vectors).fits:
            need = format_bytes(kernel.nbytes)
            solved = _by("lanczos", kernel, k, vectors)
            return solved.because(f"the kernel needs {need}, more than the memory budget")
        coarse = _by("gram", kernel, k, vectors)
    why = _why_not_svd(kernel, coarse, k, vectors)
    if why:
        return coarse.because(why)
    return _by("svd", kernel, k, vectors).because(
        f"{coarse.method} resolved only {coarse.resolved} of {kernel.size}"
    )


def _soon_solved(kernel: Kernel) -> bool:
    """Return whether all eigenvalues are found so fast that a faster way is not worth trying.

    A device finds those of any kernel that fits it within a minute. What solver cholesky would save there has
    not been measured; some of its steps go through the host. A kernel for which the device has no room would
    be solved on the host.
    """
    if kernel.size < CHOLESKY_FROM or not kernel.backend.device:
        return kernel.size < CHOLESKY_FROM
    need = SOLVERS["gram"].need(kernel)
    return need.fits and not need.on_host


def _why_not_svd(kernel: Kernel, coarse: Spectrum, k: int | None, vectors: bool) -> str:
    """Say why the coarse spectrum is kept; "" if solver svd should follow."""
    wanted = coarse.size if k is None else k
    if coarse.resolved >= wanted:
        return "resolves all that was asked for"
    svd = SOLVERS["svd"]
    finer = svd.errors(kernel).floor(float(coarse.eigenvalues[0]))
    regions = kernel.fact(regions_of)
    beyond = regions.independent if regions is not None and regions.rest <= finer else coarse.size
    if coarse.resolved >= min(kernel.fact(rank_of).at_most, beyond):
        return "resolves all up to the rank"
    if kernel.precision == "float32":
        return "float32 was asked for"
    if finer > WORTH * coarse.floor:
        return "the stored precision leaves nothing for svd to resolve"
    need = svd.need(kernel, vectors=vectors)
    if not need.fits:
        return f"svd would resolve more but needs {format_bytes(need.needed)}, more than {kernel.limit}"
    width, size = kernel.touched_width, coarse.size
    if width > SVD_WORK * size or 2.0 * size**2 * width + 4.0 * size**3 > SVD_FLOPS:
        return "svd would resolve more but takes long; ask for it by method svd"
    return ""


def check_options(kernel: Kernel, method: MethodChoice, k: int | None, vectors: bool) -> int | None:
    """Return k as an `int` or None; raise `UsageError` if options are not possible, or not together."""

    def wrong(what: str, expected: str, got: str, remedy: str) -> UsageError:
        return UsageError(what, expected=expected, got=got, remedy=remedy)

    require_one_of("method", method, get_args(MethodChoice))
    k = None if k is None else whole_number(k, "k", 1)
    if k is not None and k > kernel.size:
        remedy = "ask for some of them, or leave ⟦-k⟧ out"
        raise wrong("⟦-k⟧", f"1 to {kernel.size} eigenvalues", str(k), remedy)
    if method == "auto":
        return k
    check_precision(method, kernel.precision)
    if vectors and not SOLVERS[method].vectors:
        able = [name for name, solver in SOLVERS.items() if solver.vectors]
        raise wrong(
            "vectors", f"method {', '.join(able[:-1])} or {able[-1]}", method, "use svd, which is finer"
        )
    return k


def check_precision(method: MethodChoice, precision: Precision) -> None:
    """Raise `UsageError` if a method does not compute kernels in a precision."""
    precise = [name for name, solver in SOLVERS.items() if precision in solver.precisions]
    if method not in (*precise, "auto"):
        raise UsageError(
            f"precision {precision}",
            expected=f"method {' or '.join((*precise, 'auto'))}",
            got=method,
            remedy="use float64 with this method",
        )
