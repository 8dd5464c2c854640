"""Draw eigenfunctions at every pixel of a picture, with a second run file of the same network there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.real_arrays import Floats
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian, Outputs
from ntkspec.kernel.checks import check_same_parameters
from ntkspec.kernel.problem import Kernel
from ntkspec.report.records import ModePictures
from ntkspec.spectral import Spectrum
from ntkspec.spectral.eigenfunctions import eigenfunctions_of
from ntkspec.spectral.frequency import PixelGrid, radial_frequency
from ntkspec.store import Run, Snapshot

OPTION = "⟦--everywhere⟧"


@dataclass(frozen=True, eq=False)
class Everywhere:
    """The Jacobian of a run's snapshot at further inputs, such as all pixels of a picture."""

    snapshot: str  # id, in the run
    inputs: Floats  # (M, d)
    jacobian: Jacobian  # of M samples, read on demand


def drawn_over_a_plane(inputs: Floats, outputs: Outputs) -> bool:
    """Return whether eigenfunctions can be drawn as pictures: of two coordinates, with one number a sample.

    Example:
        >>> drawn_over_a_plane(np.zeros((5, 2)), "trace"), drawn_over_a_plane(np.zeros((5, 3)), "trace")
        (True, False)
    """
    return bool(inputs.shape[1] == 2) and outputs != "full"


def mode_pictures(
    kernel: Kernel, spectrum: Spectrum, samples: Floats, everywhere: Everywhere | None
) -> tuple[ModePictures | None, tuple[str, ...]]:
    """Make pictures of some eigenfunctions of a kernel.

    Args:
        kernel: at the samples.
        spectrum: of that kernel.
        samples: (n, d) coordinates.
        everywhere: the same network at further inputs; None: eigenfunctions are drawn at the samples.

    Returns:
        The pictures, or None without eigenvectors or where inputs have no two coordinates; and a line for
        each mode that is not drawn everywhere because of rounding.
    """
    if spectrum.vectors is None or not drawn_over_a_plane(samples, kernel.outputs):
        return None, ()
    points = samples if everywhere is None else everywhere.inputs
    functions = eigenfunctions_of(kernel, spectrum, None if everywhere is None else everywhere.jacobian)
    grid = PixelGrid.from_points(points)
    frequencies = [
        None if grid is None else radial_frequency(grid.picture(values)) for values in functions.values.T
    ]
    resolved = {mode: why for mode, why in functions.left_out.items() if mode <= spectrum.resolved}
    warnings = tuple(f"mode {mode} is not drawn everywhere: {why}" for mode, why in resolved.items())
    eigenvalues = tuple(functions.eigenvalues.tolist())
    patterns = functions.values.astype(np.float32)
    return ModePictures(functions.modes, eigenvalues, tuple(frequencies), points, patterns), warnings


def match_everywhere(
    files: Sequence[Run], runs: Sequence[Run], analysed: Sequence[Sequence[str]], outputs: Outputs
) -> list[Everywhere | None]:
    """Find the run of each further file, by label, and check that both are of the same network.

    Args:
        files: further run files, whose last snapshots are taken.
        runs: to which they belong. Of runs that share a label, the first one that fits is taken.
        analysed: ids of the snapshots to analyse, of each run.
        outputs: output mode of the analysis.

    Returns:
        The snapshot at further inputs of each run, None where no file belongs to it.

    Raises:
        UsageError: no run has the label; the snapshot is not analysed; two files belong to one run; blocks,
            shapes, or outputs at inputs that both have, differ; or nothing is drawn over a plane.
    """
    matched: list[Everywhere | None] = [None] * len(runs)
    for file in files:
        if not drawn_over_a_plane(file.inputs, outputs):
            got = "mode full" if outputs == "full" else f"{file.inputs.shape[1]} coordinates"
            expected = "inputs of two coordinates, and a number a sample, to draw eigenfunctions"
            raise _refused(file, expected, got, f"leave out {OPTION}, or use ⟦--outputs=trace⟧")
        named = [i for i, run in enumerate(runs) if run.label == file.label]
        free = [i for i in named if matched[i] is None]
        if not free:
            labels = ", ".join(repr(run.label) for run in runs)
            expected, got = f"the label of a run ({labels})", repr(file.label)
            if named:
                expected, got = "one file a run", f"a second one of {file.label!r}"
            raise _refused(file, expected, got, "name the run file that it was written beside")
        place, fitting = _first_that_fits(file, [(i, runs[i], analysed[i]) for i in free])
        matched[place] = fitting
    return matched


def _first_that_fits(
    file: Run, candidates: Sequence[tuple[int, Run, Sequence[str]]]
) -> tuple[int, Everywhere]:
    *others, (last, run, analysed) = candidates
    for place, other, ids in others:
        with contextlib.suppress(UsageError):  # the next one may fit
            return place, everywhere_of(file, other, ids)
    return last, everywhere_of(file, run, analysed)


def everywhere_of(file: Run, run: Run, analysed: Sequence[str]) -> Everywhere:
    """Return a run's snapshot at the inputs of a further file, after checking that it is the same network.

    Args:
        file: the further run file.
        run: the run.
        analysed: ids of the run's snapshots to analyse.

    Raises:
        UsageError: the networks differ, or the files share no input by which that could be told.
    """
    further = file.snapshots[-1]
    matching = [snap for snap in run.snapshots if snap.id == further.id and snap.id in analysed]
    if not matching:
        expected = f"a snapshot of {run.path} that is analysed ({', '.join(analysed)})"
        raise _refused(file, expected, further.id, "analyse or export that snapshot")
    check_same_parameters(matching[-1].jacobian, further.jacobian, f"{OPTION} {file.path}")
    _check_outputs(file, further, run, matching[-1])
    return Everywhere(further.id, file.inputs, further.jacobian)


def _check_outputs(file: Run, further: Snapshot, run: Run, snap: Snapshot) -> None:
    """Raise `UsageError` where the outputs of both files differ at inputs that both have."""
    _, at_run, at_file = np.intersect1d(_rows(run.inputs), _rows(file.inputs), return_indices=True)
    if not len(at_run):
        raise _refused(
            file,
            f"some of the inputs of {run.path}, by which the network is known again",
            "none of them",
            "add them to its inputs",
        )
    ours, theirs = snap.outputs[at_run], further.outputs[at_file]
    coarser = max(ours.dtype, theirs.dtype, key=lambda dtype: float(np.finfo(dtype).eps))
    apart = float(np.abs(ours.astype(np.float64) - theirs).max())
    if apart > np.sqrt(np.finfo(coarser).eps) * float(np.abs(ours).max()):
        raise _refused(
            file,
            f"the outputs that {run.path} has at the {len(at_run)} inputs of both",
            f"others, by up to {apart:.1e}",
            "take both from the same training",
        )


def _rows(inputs: Floats) -> NDArray[np.void]:
    """Return each row of coordinates (n, d) as one value (n,); rows of any precision can be compared."""
    numbers = np.ascontiguousarray(inputs, dtype=np.float64) + 0.0  # makes 0 of -0
    return numbers.view(np.dtype((np.void, numbers.itemsize * numbers.shape[1])))[:, 0]


def _refused(file: Run, expected: str, got: str, remedy: str) -> UsageError:
    return UsageError(f"{OPTION} {file.path}", expected=expected, got=got, remedy=remedy)
