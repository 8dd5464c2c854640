"""Render the report as one HTML file that opens offline: it loads no other files, and all text is escaped."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files

from ntkspec.report import words
from ntkspec.report.figures import Caption, captions
from ntkspec.report.figures.pictures import tiles
from ntkspec.report.headline import headline
from ntkspec.report.html import data_uri, picture_uri, resource, stroke, template
from ntkspec.report.moments import by_step
from ntkspec.report.names import kernel_names, named_snapshots, written
from ntkspec.report.page_details import run_details
from ntkspec.report.page_plot import plot_data
from ntkspec.report.page_table import front
from ntkspec.report.page_texts import VIEWS, heading, setting, title
from ntkspec.report.records import Report
from ntkspec.report.style import styled_runs
from ntkspec.report.summary import failures
from ntkspec.report.through_training import kernels_of

_SCRIPTS = ("tables.js", "spectrum.js", "alignment.js", "training.js", "explore.js")  # joined to one
_KERNELS = {
    "total": "all parameters (total)",
    "no_grid": "without the grid's gradients (no_grid)",
    "grid": "the grid's alone (grid)",
}
BUNDLE = "plotly-basic.min.js.gz"  # of plotly, as it is shipped


def render_page(report: Report, figures: Mapping[str, bytes]) -> str:
    """Return the text of index.html.

    Args:
        report: what to show.
        figures: SVG files by figure name, as `figures.draw_all` names them, and some as "<name>-narrow".
    """
    theme, script = _script(resource("theme.js")), _script("".join(map(resource, _SCRIPTS)))
    packed, digest = bundle()
    hashes = (_sha256(theme), _sha256(script), digest)
    data, runs = plot_data(report), styled_runs(report)
    shown, drawn = kernel_names(report.runs, 40), _drawn(report, figures)
    return template(written=written(report)).render(
        report=report,
        title=title(report),
        headline=headline(report),
        setting=setting(report),
        failed=bool(failures(report)),
        warnings=[*failures(report), *report.warnings],
        tiles=[(tile, picture_uri(tile.picture)) for tile in tiles(runs)],
        front=front(report),
        heading=heading(report),
        views=[view for name, view in VIEWS.items() if name in data["views"]]
        if "spectrum" in data["views"]
        else [],
        whole=data["whole"],
        kernels=[_KERNELS.get(kernel) or shown[kernel] for kernel in kernels_of(report)],
        groups=[
            (group, stroke(group["colour"], group["dark"], group["width"], group["dash"]))
            for group in data["groups"]
        ],
        stepwise=by_step(report),
        runs=[run_details(styled) for styled in runs],
        first=[drawn.pop(name) for name in ("ablation", "eigenfunctions") if name in drawn],
        further=[drawn[name] for name in drawn if name != "pictures"],
        figures=[*figures],
        zero=_zero_kernels(report),
        style=resource("page.css"),
        policy=" ".join(f"'sha256-{value}'" for value in hashes),
        theme=theme,
        script=script,
        packed=packed,
        data=_embedded(data),
    )


def _drawn(report: Report, figures: Mapping[str, bytes]) -> dict[str, tuple[str, Caption, str, str]]:
    """Return figures by name, as (name, how to read it, its address, that of a narrow form or "")."""
    addresses = {name: data_uri(svg) for name, svg in figures.items()}
    return {
        name: (name, caption, addresses[name], addresses.get(f"{name}-narrow", ""))
        for name, caption in captions(report).items()
        if name in figures
    }


def _zero_kernels(report: Report) -> list[str]:
    """Return a text for each run that has kernels without a curve, since they are exactly zero."""
    shown = kernel_names(report.runs, 40)
    lines = []
    for styled in styled_runs(report):
        zero = (
            ("", shown[kernel], name)
            for name, snapshot in named_snapshots(styled.run, 40)
            for kernel, spectrum in snapshot.spectra.items()
            if spectrum.zero
        )
        lines += [f"{styled.name} ({where})" for _, where in words.gathered(styled.run, zero)]
    return lines


def _embedded(data: object) -> str:
    """Return JSON that is safe inside a script element for strings with any characters."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(source: str) -> str:
    """Return a script as a page can hold it: the browser's own line ends, no early end of the element."""
    return source.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def bundle() -> tuple[str, str]:
    """Return the compressed bundle in base64, and the base64 SHA-256 of what it inflates to.

    The page's content security policy names this digest, so that a browser runs the inflated script.

    Example:
        >>> packed, digest = bundle()
        >>> len(packed) < 600_000, len(digest)
        (True, 44)
    """
    packed = (files(__package__) / BUNDLE).read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).digest()
    return base64.b64encode(packed).decode(), base64.b64encode(digest).decode()
