"""Choose the samples of a run file that are analysed, and describe the kernel at these samples."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import Floats
from ntkspec.backend import Backend
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.problem import Kernel
from ntkspec.runs.settings import RunSettings


def draw(samples: int, settings: RunSettings) -> NDArray[np.intp]:
    """Return the numbers of the samples to analyse, ascending: all, or as many as asked for, at random.

    Two runs of equally many samples give the same numbers for the same seed.

    Raises:
        UsageError: the run has fewer samples than asked for.

    Example:
        >>> draw(10, RunSettings(samples=3, seed=1)).tolist()
        [3, 4, 7]
    """
    if settings.samples is None:
        return np.arange(samples)
    wanted = whole_number(settings.samples, "⟦--samples⟧", 1)
    if wanted > samples:
        raise UsageError(
            "⟦--samples⟧", expected=f"at most the run's {samples}", got=str(wanted), remedy="ask for fewer"
        )
    seed = whole_number(settings.seed, "⟦--seed⟧", 0)
    return np.sort(np.random.default_rng(seed).choice(samples, wanted, replace=False))


def drawn(jacobian: Jacobian, settings: RunSettings, part: range | None = None) -> Jacobian:
    """Return the Jacobian of the samples to analyse, or of a range of these.

    Args:
        jacobian: of all samples of the run.
        settings: say which samples are analysed.
        part: places among the samples to analyse, from 0; their factors are loaded into memory.
    """
    if settings.samples is not None:
        numbers = draw(jacobian.samples, settings)
        return jacobian.rows(numbers if part is None else numbers[part.start : part.stop])
    return jacobian if part is None else jacobian.load(part.start, part.stop)


def kernel_of(
    jacobian: Jacobian, settings: RunSettings, engine: Backend, columns: Jacobian | None = None
) -> Kernel:
    """Describe the kernel of these samples by the settings' outputs, precision and memory; see `Kernel`."""
    return Kernel.from_jacobian(
        jacobian,
        settings.outputs,
        columns=columns,
        precision=settings.precision,
        backend=engine,
        memory=settings.memory,
    )


def digest(inputs: Floats) -> str:
    """Return a hash of coordinates (n, d), equal only for equal coordinates; their dtype does not matter.

    Example:
        >>> digest(np.zeros((2, 1), dtype=np.float32)) == digest(-np.zeros((2, 1)))
        True
    """
    numbers = np.ascontiguousarray(inputs, dtype="<f8") + 0.0  # makes 0 of -0
    return blake2b(repr(inputs.shape).encode() + numbers.tobytes(), digest_size=16).hexdigest()
