"""Write report folders and JSON files, completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ntkspec._io import remove_leftovers, replacing
from ntkspec.errors import OutputError
from ntkspec.report.figures import NAMES
from ntkspec.report.folders import (
    FolderKind,
    as_output_error,
    check_parent,
    resolved,
    write_figures,
    write_file,
    write_text,
)
from ntkspec.report.records import Report
from ntkspec.report.style import styled_runs
from ntkspec.report.themes import both_themes
from ntkspec.report.to_csv import write_csv, write_snapshots_csv
from ntkspec.report.to_json import FORMAT, dumps

JSON, CSV, SNAPSHOTS, PAGE = "report.json", "spectra.csv", "snapshots.csv", "index.html"
FOLDER = FolderKind(
    json=JSON,
    format=FORMAT,
    files=frozenset({JSON, CSV, SNAPSHOTS, PAGE}),
    figures=NAMES,
    option="⟦--overwrite=True⟧",
)


def check_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Raise `OutputError` if `write_report` would refuse this folder; write nothing.

    A folder is accepted if it is absent, empty, or written by this program without any added files.

    Args:
        folder: what is to be written.
        overwrite: accept a report's folder to which files were added; they are kept.
    """
    FOLDER.check(folder, overwrite=overwrite)


def write_report(report: Report, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write report.json, both CSV files, the figures as PNG, PDF and SVG, and index.html into a folder.

    Afterwards the folder is complete, or as it was before if anything failed, see `FolderKind.write`. Further
    reports as JSON in it, which --json may have put there, stay.

    Args:
        report: what to write.
        folder, overwrite: see `check_folder`.

    Returns:
        The files written, the page first.
    """
    return FOLDER.write(folder, lambda part: write_everything(report, part), overwrite=overwrite)


def check_json_file(path: Path) -> None:
    """Raise `OutputError` if `write_json_file` would refuse this path; write nothing.

    A file that exists may be replaced only if it is empty or a report that this program wrote.
    """
    if _is_stream(path):
        return
    target = resolved(path)
    if target.is_dir():
        raise OutputError(
            str(path), expected="a file to write", got="a folder", remedy="name a file inside it"
        )
    if not target.parent.is_dir():
        raise OutputError(
            str(path),
            expected=f"an existing folder {target.parent}",
            got="none of that name",
            remedy="make it, or name another file",
        )
    check_parent(path, target)
    with as_output_error(path):
        foreign = target.is_file() and target.stat().st_size > 0 and not FOLDER.is_json(target)
    if foreign:
        raise OutputError(
            str(path),
            expected="no file, or a report that this program wrote as JSON",
            got="another file",
            remedy="name another file with ⟦--json⟧, or move the one that is there",
        )


def write_json_file(report: Report, path: str | Path) -> None:
    """Write the text of report.json to a file, replaced in one step, or into a pipe or device."""
    path = Path(path)
    check_json_file(path)
    target = resolved(path)
    with as_output_error(path):
        if _is_stream(path):
            path.write_text(dumps(report), encoding="utf-8")
            return
        with replacing(target) as part:
            write_text(part, dumps(report))
    remove_leftovers(target, FOLDER.is_leftover)


def _is_stream(path: Path) -> bool:
    """Return whether a path is of a pipe or a device; a pipe may have no path, as at /dev/stdout."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def write_data(report: Report, part: Path) -> list[str]:
    """Write report.json and both CSV files into a folder, and return their names."""
    write_text(part / JSON, dumps(report))
    write_file(part / CSV, lambda file: write_csv(report, file))
    write_file(part / SNAPSHOTS, lambda file: write_snapshots_csv(report, file))
    return [JSON, CSV, SNAPSHOTS]


def write_everything(report: Report, part: Path) -> list[str]:
    """Write the page, the data and the figures into a folder, and return their names, the page first."""
    from ntkspec.report.canvas import to_bytes
    from ntkspec.report.figures import ablation, draw_all
    from ntkspec.report.page import render_page

    data = write_data(report, part)
    dark = {run.colour: run.dark for run in styled_runs(report)}
    figures, pictures = write_figures(part, draw_all(report), dark)
    narrow = ablation.draw(report, narrow=True)
    if narrow is not None:
        pictures["ablation-narrow"] = both_themes(to_bytes(narrow, "svg"), dark)
    write_text(part / PAGE, render_page(report, pictures))
    return [PAGE, *data, *figures]
