"""The report as one HTML file that opens offline: it loads nothing, and every foreign text is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ntkspec.report import words
from ntkspec.report.captions import FLOORS, captions
from ntkspec.report.headline import headline
from ntkspec.report.html import data_uri, resource, template
from ntkspec.report.moments import by_step
from ntkspec.report.names import kernel_names
from ntkspec.report.plot_data import plot_data
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.style import StyledRun, styled_runs, when_last
from ntkspec.report.summary import comparison_table, failures, last_first, singular_baseline
from ntkspec.report.to_json import plain
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.consistency import Check

_SCRIPTS = ("tables.js", "page.js", "training.js")  # run one after the other, as one
_LONGEST_CONFIG = 20_000  # characters


def render_page(report: Report, figures: Mapping[str, bytes]) -> str:
    """The text of index.html.

    Args:
        report: what to show.
        figures: SVG files by figure name, as `figures.draw_all` names them.
    """
    from plotly.offline import get_plotlyjs

    scripts = [_script(get_plotlyjs()), _script("".join(map(resource, _SCRIPTS)))]
    policy = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    data = plot_data(report)
    return template("page.html.j2").render(
        report=report,
        headline=headline(report),
        table=last_first(comparison_table(report)),
        singular_baseline=singular_baseline(report),
        qualities=words.QUALITIES,
        figures=[
            (name, caption, data_uri(figures[name]))
            for name, caption in captions(report).items()
            if name in figures
        ],
        runs=[_run(styled) for styled in styled_runs(report)],
        warnings=[*failures(report), *report.warnings],
        style=resource("page.css"),
        script_policy=policy,
        plotly=scripts[0],
        script=scripts[1],
        when=when_last(report),
        floors=FLOORS,
        plotted=any(run["curves"] for run in data["runs"]),
        zero=_zero_kernels(report),
        data=_embedded(data),
        points=data["points"],
        stepwise=by_step(report),
        training=bool(data["training"]),
    )


def _run(styled: StyledRun) -> dict[str, Any]:
    run = styled.run
    kernels = kernel_names([run], 200)
    config = json.dumps(plain(run.config), indent=2, ensure_ascii=False, allow_nan=False)
    return {
        "styled": styled,
        "run": run,
        "mode": words.mode(run),
        "config": config[:_LONGEST_CONFIG] + ("\n..." if len(config) > _LONGEST_CONFIG else ""),
        "metrics": [
            (words.snapshot_name(run, snapshot), snapshot.step, _metrics(snapshot))
            for snapshot in run.snapshots
        ],
        "spectra": [
            _spectrum(run, snapshot, kernel, kernels[kernel])
            for snapshot in run.snapshots
            for kernel in snapshot.spectra
        ],
        "moved": any(snapshot.distances for snapshot in run.snapshots),
        "apart": _apart(run),
        "reasons": _reasons(run),
        "singular": _singular(run),
        "checks": _checks(run),
        "theorems": list(dict.fromkeys(_theorems(run))),
        "bounds": [
            _bound(words.snapshot_name(run, snapshot), checked, snapshot)
            for snapshot in run.snapshots
            for checked in snapshot.bounds
        ],
    }


def _metrics(snapshot: SnapshotReport) -> str:
    return ", ".join(
        f"{words.QUALITIES.get(name, name)} {words.metric(snapshot.metrics, name)}"
        for name in snapshot.metrics
    )


def _spectrum(run: RunReport, snapshot: SnapshotReport, name: str, shown: str) -> dict[str, Any]:
    spectrum = snapshot.spectra[name]
    distance = snapshot.distances.get(name)
    return {
        "snapshot": words.snapshot_name(run, snapshot),
        "step": snapshot.step,
        "kernel": shown,
        "distance": words.distance(snapshot, name) if distance and distance.value is not None else "-",
        "size": spectrum.size,
        "resolved": words.resolved(spectrum),
        "lambda_max": words.lambda_max(spectrum),
        "lambda_min": words.lambda_min(spectrum),
        "floor": words.sci_up(spectrum.floor),
        "condition": words.condition(spectrum),
        "trace": words.sci(spectrum.trace),
        "effective_rank": words.rank(spectrum.effective_rank),
        "stable_rank": words.rank(spectrum.stable_rank),
        "method": f"{spectrum.method}, {spectrum.precision}",
    }


def _apart(run: RunReport) -> list[str]:
    """Why some kernels have no distance from the first snapshot; equal reasons once."""
    kernels = kernel_names([run], 40)
    return [
        f"No kernel distance: {reason} ({where})."
        for reason, where in words.gathered(
            run,
            (
                (distance.reason, kernels[kernel], snapshot)
                for snapshot in run.snapshots
                for kernel, distance in snapshot.distances.items()
                if distance.value is None and kernel in kernels
            ),
        )
    ]


def _reasons(run: RunReport) -> list[str]:
    """Why each method, and for which kernels at which snapshots; equal reasons once."""
    kernels = kernel_names([run], 40)
    found = (
        (f"Method {spectrum.method}: {spectrum.reason}", kernels[kernel], snapshot)
        for snapshot in run.snapshots
        for kernel, spectrum in snapshot.spectra.items()
        if spectrum.reason
    )
    return [f"{said} ({where})." for said, where in words.gathered(run, found)]


def _singular(run: RunReport) -> list[str]:
    """Which kernels are singular as stored, or as the network's, and why."""
    kernels = kernel_names([run], 40)
    return [
        f"{kernels[kernel]} at {words.snapshot_name(run, snapshot, 40)}: {said}."
        for snapshot in run.snapshots
        for kernel, spectrum in snapshot.spectra.items()
        if (said := words.singular(spectrum) or words.network(spectrum))
    ]


def _checks(run: RunReport) -> list[dict[str, Any]]:
    """Each check once, with its worst case over snapshots and kernels."""
    found: dict[str, list[Check]] = {}
    for snapshot in run.snapshots:
        for check in snapshot.checks:
            found.setdefault(check.name, []).append(check)
    return [
        {
            "name": name,
            "statement": max(checks, key=lambda check: check.worst).statement,
            "count": len(checks),
            "worst": f"{max(check.worst for check in checks):.2g}",
            "holds": "holds" if all(check.holds for check in checks) else "FAILS",
        }
        for name, checks in found.items()
    ]


def _zero_kernels(report: Report) -> list[str]:
    """The runs with kernels that are exactly zero, each with these kernels; they have no curve."""
    shown = kernel_names(report.runs, 40)
    said = []
    for styled in styled_runs(report):
        zero = (
            ("", shown[kernel], snapshot)
            for snapshot in styled.run.snapshots
            for kernel, spectrum in snapshot.spectra.items()
            if words.is_zero(spectrum)
        )
        said += [f"{styled.name} ({where})" for _, where in words.gathered(styled.run, zero)]
    return said


def _theorems(run: RunReport) -> list[str]:
    bounds = (checked for snapshot in run.snapshots for checked in snapshot.bounds)
    return [
        f"{words.theorem(b)}: {b.bound.theorem} ({b.bound.source}); {b.bound.assumptions}." for b in bounds
    ]


def _bound(snapshot: str, checked: CheckedBound, report: SnapshotReport) -> dict[str, Any]:
    bound = checked.bound
    spectrum = report.spectra.get(checked.of)
    return {
        "snapshot": snapshot,
        "name": words.theorem(checked),
        "side": bound.side,
        "of": checked.of,
        "sources": ", ".join(checked.sources),
        "holds": "holds" if checked.holds else words.held(checked, spectrum) if spectrum else "FAILS",
        "failed": not checked.holds,
        "says": words.limit_of_lambda_min(checked) or "vacuous",
        "certified": bound.certified,
        "decades": "-" if checked.decades_min is None else f"{checked.decades_min:.2f}",
        "median": "-" if checked.decades_median is None else f"{checked.decades_median:.2f}",
    }


def _embedded(data: Any) -> str:
    """JSON that is safe inside a script element, whatever its strings hold."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(source: str) -> str:
    """A script as it can stand in a page: the browser's own line ends, no early end of the element."""
    return source.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
