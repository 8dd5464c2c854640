"""Render a population as one HTML file that opens offline, without scripts and with all texts escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from ntkspec._version import PRODUCER
from ntkspec.population.report import metrics_figure, spectra_figure, wording
from ntkspec.population.report.cohorts import Cohort
from ntkspec.population.report.headline import headline
from ntkspec.population.report.labels import ShownLabel, when
from ntkspec.population.report.reading import Failed, KeptPopulation
from ntkspec.population.report.wording import Row, metrics_in_table, sections
from ntkspec.qualities import IOU, PSNR, quality_of
from ntkspec.report import words
from ntkspec.report.figures import Caption
from ntkspec.report.html import data_uri, resource, square, template
from ntkspec.report.names import clean

MOST_FAILURES = 200  # on the page
_FIGURES = {"spectra": spectra_figure, "metrics": metrics_figure}


def render_page(
    population: KeptPopulation,
    cohorts: Sequence[Cohort],
    labels: Sequence[ShownLabel],
    figures: Mapping[str, bytes],
) -> str:
    """Return the text of index.html.

    Args:
        population: what to show.
        cohorts: of all its runs.
        labels: of all its runs, in their order.
        figures: SVG files by figure name, as `draw_all` names them.
    """
    tables = sections(cohorts, labels)
    return template(__package__, _written(population)).render(
        producer=PRODUCER,
        created=population.created,
        style=resource("page.css"),
        title=f"{wording.count(len(population.runs), 'run')} of {wording.count(len(labels), 'label')}",
        headline=(*headline(cohorts, labels, when(population)), *_unreported(population)),
        figures=[
            (name, caption, data_uri(figures[name]))
            for name, caption in captions(cohorts, labels).items()
            if name in figures
        ],
        tables=tables,
        square=square,
        metrics=[clean(quality_of(name).alone, 24) for name in metrics_in_table(cohorts)],
        notes=_notes(cohorts, [row for table in tables for row in table.rows]),
        wide=len({cohort.stage for cohort in cohorts} - {None}) > 1,
        several=len(labels) > 1,
        sizes=len({cohort.kernels for cohort in cohorts}) > 1,
        grids=any("no_grid" in cohort.spectra for cohort in cohorts),
        broken=population.broken,
        failures=[
            Failed(clean(failed.path, 300), clean(failed.reason.removeprefix(f"{failed.path}: "), 400))
            for failed in population.failures[:MOST_FAILURES]
        ],
        failed=len(population.failures),
    )


def _written(population: KeptPopulation) -> set[str]:
    """Return the texts by users that may stand in sentences on the page: labels and other names."""
    snapshots = [snapshot for run in population.runs for snapshot in run.snapshots]
    names = {name for snapshot in snapshots for name in (snapshot.name, *snapshot.spectra)}
    return {*population.examples, *names}


def _unreported(population: KeptPopulation) -> Iterator[str]:
    """Yield a sentence if there are failures."""
    if population.failures:
        yield f"{wording.count(len(population.failures), 'file')} could not be reported on; see below."


def _notes(cohorts: Sequence[Cohort], rows: Sequence[Row]) -> list[str]:
    """Return sentences that say how to read the table."""
    brackets = wording.intervals({cohort.runs for cohort in cohorts})
    sentences = [
        "Smallest eigenvalues are medians over runs, of two in the middle the geometric mean; metrics and "
        "effective ranks are means" + (f"; {brackets}." if brackets else "."),
        "A median is a number where what is not resolved changes it by 1% at most; else only what it is at "
        f"most is known. {words.LEGEND.capitalize()}.",
        "Number / 0 / unresolved: in how many runs the smallest eigenvalue is a number, exactly 0, or "
        "neither.",
    ]
    if any({PSNR.name, IOU.name} <= {*cohort.metrics, *cohort.infinite} for cohort in cohorts):
        sentences.append(
            "Some labels stand for runs that learnt pictures (PSNR) and for others that learnt shapes (IoU). "
            "Give both labels of their own: their eigenvalues do not compare."
        )
    if any(wording.NETWORK in row.smallest.beside for row in rows):
        sentences.append(
            f"{wording.NETWORK.capitalize()}: by its activation regions, the network's kernel is singular in "
            "exact arithmetic; eigenvalues are those of the numbers as stored, which are rounded."
        )
    if len({pixels for cohort in cohorts for pixels in cohort.held_out}) > 1:
        mixed = any(cohort.not_averaged for cohort in cohorts)
        more = f"; where those of one label did ({wording.OTHER_PIXELS}), there is no mean" if mixed else ""
        sentences.append(f"Runs held out different pixels: PSNRs of these do not compare{more}.")
    if len(rows) < len(cohorts):
        sentences.append(f"The first {len(rows)} of {len(cohorts)} rows; population.json has all.")
    return sentences


def draw_all(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> Iterator[tuple[str, Figure]]:
    """Draw one figure after another and yield each with its name; those without data are left out."""
    for name, module in _FIGURES.items():
        figure = module.draw(cohorts, labels)
        if figure is not None:
            yield name, figure


def captions(cohorts: Sequence[Cohort], labels: Sequence[ShownLabel]) -> dict[str, Caption]:
    """Return the captions of all figures by name."""
    return {name: module.caption(cohorts, labels) for name, module in _FIGURES.items()}
