"""Draw modes of kernels on the caller's axes: where the targets lie among them, and what they look like."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ntkspec.errors import UsageError, not_one_of, shown
from ntkspec.plot.as_report import What, as_report, at_end, check_kernel
from ntkspec.plot.axes import add_legend, axes_of, entry, free_colours, sized, wrap_ylabel
from ntkspec.report.curves import sign_of
from ntkspec.report.figures.alignment import aligned, draw_outside, end_handles, finish_shares
from ntkspec.report.figures.eigenfunctions import Row, cells, numbers, row_of, show_mode
from ntkspec.report.records import ModePictures, Report
from ntkspec.report.style import styled_runs
from ntkspec.spectral.eigenfunctions import Eigenfunctions

Pattern: TypeAlias = tuple[ArrayLike, ArrayLike | Eigenfunctions]  # points (M, 2), values (M,) there


def alignment(what: What, *, kernel: str = "total", ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the share of the targets outside of a kernel's first k modes, against k, and return the axes.

    The end of each run is drawn (the snapshot labelled "end", otherwise the last). The lower a curve at k,
    the more of the targets lies in the k modes that the network learns fastest. A cross marks the last mode
    whose eigenvalue is resolved.

    Args:
        what: a report, one of its runs or snapshots, an Alignment, or a dict of these by name.
        kernel: name of the kernel in reports, which by default have alignments of "total" alone.
        ax: where to draw; default: pyplot's current axes.
        legend: show a legend.

    Raises:
        UsageError: nothing that can be drawn, or no alignment of this kernel with a resolved mode.

    Example:
        >>> import numpy as np, ntkspec
        >>> from matplotlib.figure import Figure
        >>> with ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     jac = run.snapshot("init").jacobian
        ...     found = ntkspec.alignment(jac, np.sin(run.inputs[:, :1] * [4, 5, 6]))  # (40, 3) targets
        >>> axes = alignment({"waves": found}, ax=Figure().subplots())
        >>> first, second, *_ = axes.lines[0].get_ydata()
        >>> bool(first == found.beyond(1)), bool(second == found.beyond(2))
        (True, True)
    """
    where = "ntkspec.plot.alignment"
    check_kernel(kernel, where)
    report = at_end(as_report(what, where))
    found = aligned(report, kernel)
    if not found:
        reasons = dict.fromkeys(snap.no_alignment for run in report.runs for snap in run.snapshots)
        why = "; ".join(filter(None, reasons))
        raise UsageError(
            where, expected=f"an alignment of the kernel {kernel}", got=f"none: {why}" if why else "none",
            remedy="ntkspec.alignment computes one of a Jacobian and targets",
        )  # fmt: skip
    axes = axes_of(ax, where)
    alignments, several = [alignment for _, alignment in found], len(found) > 1
    runs = free_colours(axes, [run for run, _ in found])
    with sized(axes):
        for run, each in zip(runs, alignments, strict=True):
            draw_outside(axes, run, each, sign_of(run, several=several))
    finish_shares(axes, "number of modes $k$", "share of the targets beyond mode $k$")
    wrap_ylabel(axes)
    entries = [entry(run, kernel, several=several) for run in runs if run.run.label]
    add_legend(axes, [*entries, *end_handles(alignments)], shown=legend)
    return axes


def eigenfunctions(what: What | Pattern, mode: int = 1, *, ax: Axes | None = None) -> Axes:
    """Draw an eigenfunction of a kernel over two coordinates as a picture, and return the axes.

    Red and blue are values of opposite sign, white is zero. The axes have the coordinates of the points, y
    downwards as in pictures. If the points are not the pixels of a picture, a cell is the mean of those in
    it, grey where there is none.

    Args:
        what: a run or a snapshot of a report that was computed in this process, or a pair: points (M, 2), and
            the result of `ntkspec.eigenfunctions` or values (M,) there.
        mode: its number, from 1: that of the largest eigenvalue.
        ax: where to draw; default: pyplot's current axes.

    Raises:
        UsageError: nothing that can be drawn, several runs, or a mode that is not there.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> x, y = np.meshgrid(np.arange(4), np.arange(3))
        >>> points = np.stack([x.ravel(), y.ravel()], axis=1)
        >>> axes = eigenfunctions((points, np.cos(points[:, 0])), ax=Figure().subplots())
        >>> axes.images[0].get_array().shape, [float(edge) for edge in axes.images[0].get_extent()]
        ((3, 4), [-0.5, 3.5, 2.5, -0.5])
    """
    where = "ntkspec.plot.eigenfunctions"
    row = _of_pair(what, where) if isinstance(what, tuple) else _of_report(as_report(what, where), where)
    modes = row.shown.modes
    if mode not in modes:
        raise not_one_of(f"{where}, mode", mode, map(str, modes))
    axes, at = axes_of(ax, where), modes.index(mode)
    show_mode(axes, *cells(row.points, row.values[:, at]))
    axes.set(xticks=[], yticks=[])
    if row.shown.eigenvalues:
        axes.set_title(f"mode {mode}")
        axes.set_xlabel(numbers(row.shown, at))
    return axes


def _of_report(report: Report, where: str) -> Row:
    """Return the modes of the only run, in the snapshot that the report's figure draws."""
    if len(report.runs) != 1:
        raise UsageError(where, expected="one run or snapshot", got=f"{len(report.runs)} runs")
    row = row_of(styled_runs(report)[0])
    if row is None:
        raise UsageError(
            where, expected="a report with eigenfunctions over two coordinates", got="one without",
            remedy="analyse a run file with targets in this process, or use ntkspec.eigenfunctions",
        )  # fmt: skip
    return row


def _of_pair(pair: tuple[object, ...], where: str) -> Row:
    """Return the modes, or the values as a single one without an eigenvalue."""
    modes: tuple[int, ...] = (1,)
    eigenvalues: tuple[float, ...] = ()
    points, found = pair if len(pair) == 2 else (None, None)
    if isinstance(found, Eigenfunctions):
        modes, eigenvalues, found = found.modes, tuple(map(float, found.eigenvalues)), found.values
    try:
        places, values = np.asarray(points, np.float64), np.asarray(found, np.float64)
    except (TypeError, ValueError):  # no numbers, or rows of several lengths
        places = values = np.empty(0)
    values = values if eigenvalues else values[..., None]
    fits = places.ndim == values.ndim == 2 and places.shape == (len(values), 2) and values.size > 0
    if not (fits and np.isfinite(places).all() and np.isfinite(values).all()):
        raise UsageError(where, expected="points (M, 2) and values (M,), all finite", got=shown(pair))
    return Row("", ModePictures(modes, eigenvalues, (None,) * len(modes)), places, values)
