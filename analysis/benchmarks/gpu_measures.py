"""What a device does a second, and what kernels, eigenvalues, routes, reports and torch.func cost on it.

Each function yields rows as they are measured: dicts with what was measured, its size n, seconds (a median)
and the number of calls.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
from gpu_device import Device, Row, assembled, formed, real

import ntkspec
from ntkspec.backend import band, device_eigenvalues
from ntkspec.backend.device_eigenvalues import DeviceEigenvalues, DevicePanels
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.spectral import bounds, verify
from ntkspec.spectral.solvers import SOLVERS

OURS, CUPY, TORCH = "ntkspec", "cuSOLVER by CuPy", "cuSOLVER by PyTorch"
FACTORS, EXPORT, FUNC = "ntkspec, from factors", "ntkspec, export + gram", "torch.func vmap(jacrev)"
WHOLE, UP_TO_BOUNDS = "analyze_run", "analyze_run up to its bounds"
# Of `verify`, what makes the certified bounds.
CERTIFIED = ((bounds, "positivity"), (bounds, "certified_lower"), (verify, "certified_upper_of"))
# The steps of our eigenvalue solver, and what does each. The QR of panels is a part of "panels".
SOLVER_STEPS = {
    "reflection": (device_eigenvalues, "mix"),
    "panels": (band._Work, "take_panel"),
    "QR of panels": (DevicePanels, "factor"),
    "subtraction": (band._Work, "subtract"),
    "chase": (DeviceEigenvalues, "_chase"),
    "bisection": (DeviceEigenvalues, "_bisect"),
}
STRIP = 4096  # rows of a kernel in one pass over it
WIDE = 4  # route dual is measured up to so many touched parameters a sample


def rates(device: Device, n: int) -> Iterator[Row]:
    """Measure a float64 matrix product of n rows, in flops a second, and a copy, in bytes moved a second."""
    xp = device.xp
    a, b = (xp.asarray(np.random.default_rng(seed).random((n, n))) for seed in range(2))
    out = xp.empty_like(a)
    times, _ = device.timed(lambda: xp.matmul(a, b, out=out), 5, warm=2)
    yield {"what": "matrix product", "n": n, **times, "rate": 2 * n**3 / times["seconds"]}
    source, target = xp.zeros(4 * n * n), xp.empty(4 * n * n)
    times, _ = device.timed(lambda: xp.copyto(target, source), 5, warm=2)
    yield {"what": "copy", "n": n, **times, "rate": 2 * source.nbytes / times["seconds"]}


def grams(device: Device, network: str, n: int, flops: float, bandwidth: float) -> Iterator[Row]:
    """Form a kernel from factors on the device, beside what the measured rates allow at the least.

    Sums of blocks of one Jacobian share its factors there; `from_host` is what the first of them takes.

    Args:
        flops, bandwidth: of this device, a second.
    """
    formed(device, real(network, 256))  # loads and compiles what it needs
    jac = device.factors(network, n)
    kernel = Kernel(jac, backend=device.engine)
    first, _ = device.timed(lambda: assembled(kernel), 1)
    times, _ = device.timed(lambda: assembled(kernel), device.calls(n))
    work = n**2 * networks.facts(network)["dense_widths"] / flops
    bound = max(work, (8 * n**2 + jac.nbytes) / bandwidth)
    more = {"from_host": first["seconds"], "bound": bound, "ratio": times["seconds"] / bound}
    yield {"what": network, "n": n, **times, **more, "factor_bytes": jac.nbytes}


def eigensolver(device: Device, name: str) -> Callable[[Any], Any]:
    """Return what gives all eigenvalues of a device matrix, ascending, on the host."""
    if name == CUPY:
        return lambda kernel: device.engine.get(device.xp.linalg.eigvalsh(kernel))
    if name == TORCH:
        import torch
        from torch.utils.dlpack import from_dlpack

        return lambda kernel: torch.linalg.eigvalsh(from_dlpack(kernel)).cpu().numpy()
    found: Callable[[Any], Any] = device.engine.eigvalsh
    return found


def eigenvalues(device: Device, name: str, n: int) -> Iterator[Row]:
    """Find all eigenvalues of a formed kernel of mlp256, which every call may destroy.

    Sum and norm of the eigenvalues are held against the kernel's trace and Frobenius norm, relative to these.
    Of a kernel that is solved once there is the peak of memory, the kernel included, in kernels; and by our
    solver, the seconds of its steps.
    """
    jac, large = device.factors("mlp256", n), n >= device.once // 2
    repeats, warm = (1 if large and name != OURS else device.calls(n)), int(not large)
    device.free()
    before = device.used()
    forming, kernel = device.timed(lambda: formed(device, jac), 1)
    trace, norm, size = *sums(device, kernel), kernel.nbytes
    device.free()
    left = _copies([kernel], warm + repeats)
    del kernel
    steps: dict[str, list[float]] = {step: [0.0] for step in SOLVER_STEPS}
    with contextlib.ExitStack() as watched:
        if name == OURS and n >= device.once:
            for step, total in steps.items():
                watched.enter_context(_watched(*SOLVER_STEPS[step], total, device.wait))
        times, values = device.timed(
            eigensolver(device, name), repeats, warm=warm, fresh=lambda: (next(left),)
        )
    row = {"what": name, "n": n, "precision": "float64", **times, "gram_seconds": forming["seconds"]}
    if any(seconds for (seconds,) in steps.values()):
        row["steps"] = {step: seconds for step, (seconds,) in steps.items()}
    values = np.asarray(values, dtype=np.float64)
    row["trace_error"] = abs(float(values.sum()) - trace) / trace
    row["norm_error"] = abs(float(np.sqrt((values**2).sum())) - norm) / norm
    if repeats == 1 and not warm:
        pool = int(device.xp.get_default_memory_pool().total_bytes())
        row["peak_kernels"] = max(pool, device.used() - before) / size
    yield row


def single_precision(device: Device, n: int) -> Iterator[Row]:
    """Find all eigenvalues in float32; the error is that from float64, over the largest eigenvalue."""
    jac = device.factors("mlp256", n)
    expected = device.engine.eigvalsh(formed(device, jac))
    left = _copies([formed(device, jac, "float32")], device.calls(n))
    times, values = device.timed(device.engine.eigvalsh, device.calls(n), fresh=lambda: (next(left),))
    error = float(np.abs(values - expected).max() / expected[-1])
    yield {"what": OURS, "n": n, "precision": "float32", **times, "error": error}


def _copies(held: list[Any], count: int) -> Iterator[Any]:
    """The kernel as often as it is needed; the last time itself."""
    for _ in range(count - 1):
        yield held[0].copy()
    yield held.pop()


def sums(device: Device, kernel: Any) -> tuple[float, float]:
    """Return the trace and the Frobenius norm of a kernel on the device."""
    squares = 0.0
    for start in range(0, len(kernel), STRIP):
        part = kernel[start : start + STRIP].ravel()
        squares += float(device.xp.vdot(part, part))
    return float(device.xp.trace(kernel)), squares**0.5


def route(device: Device, name: Any, part: str, n: int, k: int = 100) -> Iterator[Row]:
    """Run a route on the kernel of multigrid, or on that of its network's own parameters alone.

    Args:
        name: of `ntkspec.spectral.solvers.SOLVERS`.
        part: "total" or "no_grid".
        k: of the largest eigenvalues, for lanczos.
    """
    jac, solver = real("multigrid", n), SOLVERS[name]
    jac = jac if part == "total" else jac.without("grid")
    row: Row = {"what": name, "of": part, "n": n, "parameters": jac.width}
    described = functools.partial(Kernel, jac, backend=device.engine)
    wide = name == "dual" and described().touched_width > WIDE * n
    if wide or not solver.need(described()).fits:
        yield row | {"status": "too many parameters" if wide else "does not fit"}
        return
    few = min(k, n // 2) if name == "lanczos" else None
    first = Kernel(jac.load(0, max(n // 8, 10)), backend=device.engine)
    solver.solve(first, 5 if few else None)  # loads and compiles what it needs
    times, found = device.timed(functools.partial(_solve, solver, described, few), 1)
    status = "declined: the rank is not low" if found is None else f"{found.resolved} resolved"
    yield row | times | {"status": status}


def _solve(solver: Any, described: Callable[[], Kernel], k: int | None) -> Any:
    """All that a fresh kernel needs."""
    return solver.solve(described(), k)


def analyses(device: Device, n: int, folder: Path, *, whole: bool = True) -> Iterator[Row]:
    """Analyse a run file of multigrid of one snapshot, beside the eigenvalues of its three kernels alone.

    Certified bounds are factorised on the CPU, at n^3. No report does without them, so what they take of the
    whole is measured beside it; or the analysis is left where its bounds begin.
    """
    jac = device.factors("multigrid", n)
    path = folder / f"multigrid-{n}.h5"
    ntkspec.write_run(path, networks.inputs(n).numpy(), np.zeros((n, jac.outputs)), jac, overwrite=True)
    solves = sum(_alone(device, part) for part in (jac, jac.without("grid"), jac.only("grid")))
    device.free()
    steps, certified = [("opening", time.perf_counter())], [0.0]

    def heard(step: str) -> None:
        steps.append((step.rpartition(": ")[2], time.perf_counter()))
        if steps[-1][0] == "bounds" and not whole:
            raise _EnoughError

    def run() -> None:
        with contextlib.suppress(_EnoughError):
            analyze_run(path, RunSettings(backend=device.engine.name), progress=heard)

    with contextlib.ExitStack() as watched:
        for module, name in CERTIFIED:
            watched.enter_context(_watched(module, name, certified))
        times, _ = device.timed(run, 1)
    ends = [at for _, at in steps[1:]] + [time.perf_counter()]
    parts = {step: end - at for (step, at), end in zip(steps, ends, strict=True)}
    path.unlink()
    more = {"three_solves": solves, "certified": certified[0], "steps": parts}
    ratio = (times["seconds"] - certified[0]) / solves
    yield {"what": WHOLE if whole else UP_TO_BOUNDS, "n": n, **times, **more, "ratio": ratio}


class _EnoughError(Exception):
    """Leaves an analysis."""


def _alone(device: Device, jacobian: Jacobian) -> float:
    """Seconds of all eigenvalues of a formed kernel."""
    held = [formed(device, jacobian)]
    times, _ = device.timed(device.engine.eigvalsh, 1, fresh=lambda: (held.pop(),))
    return float(times["seconds"])


@contextlib.contextmanager
def _watched(
    owner: Any, name: str, total: list[float], wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Add the seconds of every call of a function to `total`.

    Args:
        owner: the module or the class that has the function.
        name: of the function.
        total: one number.
        wait: waits until the device has done what it was asked for, before a call and after it.
    """
    original = getattr(owner, name)

    def watched(*given: Any, **options: Any) -> Any:
        wait()
        start = time.perf_counter()
        try:
            return original(*given, **options)
        finally:
            wait()
            total[0] += time.perf_counter() - start

    setattr(owner, name, watched)
    try:
        yield
    finally:
        setattr(owner, name, original)


def peers(device: Device, n: int) -> Iterator[Row]:
    """From mlp256 to its kernel: torch.func on the device, ours from factors or from the network."""
    import func

    from ntkspec.export import jacobian

    net, x = networks.model("mlp256").to(device.torch), networks.inputs(n).to(device.torch)
    rows, p = func.by_jacrev(net), sum(parameter.numel() for parameter in net.parameters())
    func.kernel(rows, x[: func.CHUNK], p)
    theirs, kernel = device.timed(lambda: func.kernel(rows, x, p), 3)
    expected = kernel.cpu().numpy()
    yield {"what": FUNC, "n": n, **theirs}
    net, x = net.cpu(), x.cpu()
    for name, run in {
        FACTORS: lambda: formed(device, real("mlp256", n)),
        EXPORT: lambda: formed(device, jacobian(net, x)),
    }.items():
        ours, kernel = device.timed(run, 3, warm=1)
        off = float(np.abs(device.engine.get(kernel) - expected).max() / np.abs(expected).max())
        more = {"difference": off, "theirs_over_ours": theirs["seconds"] / ours["seconds"]}
        yield {"what": name, "n": n, **ours, **more}
