"""Report folders and JSON files on disk: complete or not there at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ntkspec.errors import OutputError
from ntkspec.report.beside import beside, held, hidden_file, hidden_folder, new_parents, remove_leftovers
from ntkspec.report.records import Report
from ntkspec.report.to_csv import write_csv, write_snapshots_csv
from ntkspec.report.to_json import FORMAT, dumps

JSON, CSV, PAGE, FIGURES = "report.json", "spectra.csv", "index.html", "figures"
SNAPSHOTS = "snapshots.csv"
FIGURE_NAMES = ("spectra", "training", "ablation", "panels", "pictures", "decades")

OWN_NAMES = frozenset(
    {JSON, CSV, SNAPSHOTS, PAGE, FIGURES}
    | {f"{FIGURES}/{name}.{ending}" for name in FIGURE_NAMES for ending in ("png", "svg")}
)
_FIRST_BYTES = re.compile(rb'\s*\{\s*"format":\s*"' + FORMAT.encode() + rb'"')


def check_folder(folder: Path) -> None:
    """Raise `OutputError` where `write_report` would refuse this folder; nothing is written.

    A folder may be absent, empty, or one that this program wrote and nobody added to.
    """
    target = resolved(folder)
    check_parent(folder, target)
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(
            str(folder),
            expected="a folder to write",
            got="a file",
            remedy="name another folder with -o, or move the file",
        )
    if Path.cwd().is_relative_to(target):
        raise OutputError(
            str(folder),
            expected="a folder that can be replaced as a whole",
            got="the current folder, or one around it",
            remedy="name a folder inside it, such as -o report",
        )
    stranger = _stranger(folder, target)
    if stranger is not None:
        raise OutputError(
            str(folder),
            expected="no folder, an empty one, or one that this program wrote",
            got=f"one that holds {stranger!r}",
            remedy="name another folder with -o, or move what is there",
        )


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, both CSV files, the figures as PNG and SVG, and index.html into a folder.

    Everything goes into a hidden folder beside it first, which then takes the folder's place; on any failure
    or interruption the hidden folder is removed and the old one is as it was. Further reports as JSON in the
    old one, as --json may have put them there, stay. What a run that was killed has left is removed.

    Args:
        report: what to write.
        folder: see `check_folder`.

    Returns:
        The files written, the page first.
    """
    check_folder(folder)
    target = resolved(folder)
    with _as_output_error(folder), new_parents(target), hidden_folder(target) as part:
        names = _fill(report, part)
        check_folder(folder)  # the work took a while: someone may have put a file there
        for further in [path for path in target.glob("*") if path.name not in OWN_NAMES]:
            shutil.copy2(further, part)
        _swap(part, target)
    remove_leftovers(target, _is_leftover)
    return [folder / name for name in names]


def check_json_file(path: Path) -> None:
    """Raise `OutputError` where `write_json_file` would refuse this path; nothing is written.

    A file that is there already may be replaced only where it is empty or a report of this program's.
    """
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
    if not os.path.lexists(target) or target.is_file():
        check_parent(path, target)
    with _as_output_error(path):
        foreign = target.is_file() and target.stat().st_size > 0 and not _is_report(target)
    if foreign:
        raise OutputError(
            str(path),
            expected="no file, or a report that this program wrote as JSON",
            got="another file",
            remedy="name another file with --json, or move the one that is there",
        )


def write_json_file(report: Report, path: str | Path) -> None:
    """Write report.json's text to a file of any name, replaced in one step; a pipe or device is filled."""
    path = Path(path)
    check_json_file(path)
    target = resolved(path)
    with _as_output_error(path):
        if os.path.lexists(target) and not target.is_file():
            path.write_text(dumps(report), encoding="utf-8")
            return
        with hidden_file(target) as part:
            _write_text(part, dumps(report))
            os.replace(part, target)
    remove_leftovers(target, _is_leftover)


def _fill(report: Report, part: Path) -> list[str]:
    """Write everything into an empty folder; names relative to it."""
    from ntkspec.report.figures import draw_all, to_bytes
    from ntkspec.report.page import render_page

    _write_text(part / JSON, dumps(report))
    for name, write in ((CSV, write_csv), (SNAPSHOTS, write_snapshots_csv)):
        with (part / name).open("w", encoding="utf-8", errors="replace", newline="") as file:
            write(report, file)
    names = [PAGE, JSON, CSV, SNAPSHOTS]
    (part / FIGURES).mkdir()
    pictures: dict[str, bytes] = {}
    for name, figure in draw_all(report):
        for ending in ("png", "svg"):
            content = to_bytes(figure, ending)
            if ending == "svg":
                pictures[name] = content
            (part / FIGURES / f"{name}.{ending}").write_bytes(content)
            names.append(f"{FIGURES}/{name}.{ending}")
    _write_text(part / PAGE, render_page(report, pictures))
    return names


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _swap(part: Path, target: Path) -> None:
    """Put `part` in the place of `target`; whatever goes wrong, `target` is the old folder or the new one."""
    old = beside(target, "old")
    with held(target):  # lest another run takes the old one for what a killed run left
        _replace(part, target, old)


def _replace(part: Path, target: Path, old: Path) -> None:
    had_one = target.is_dir()
    try:
        if had_one:
            os.rename(target, old)
        os.rename(part, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def _stranger(folder: Path, target: Path) -> str | None:
    """The first thing in a folder that this program did not write, if there is one."""
    with _as_output_error(folder):
        found = sorted(target.iterdir())
        if not found:
            return None
        if not _is_report(target / JSON):
            return next((path.name for path in found if path.name not in OWN_NAMES), found[0].name)
        inside = sorted((target / FIGURES).iterdir()) if (target / FIGURES).is_dir() else []
        for path in (*found, *inside):
            name = path.relative_to(target).as_posix()
            plain = path.is_dir() if name == FIGURES else path.is_file()
            ours = name in OWN_NAMES or ("/" not in name and _is_report(path))  # --json may have put it there
            if not ours or path.is_symlink() or not plain:
                return name
    return None


def _is_leftover(path: Path) -> bool:
    """Whether this is a report folder or a report as JSON of this program's, finished or not."""
    if path.is_file():
        return path.stat().st_size == 0 or _is_report(path)
    inside = {file.relative_to(path).as_posix() for file in path.rglob("*")}
    return all(name in OWN_NAMES or ("/" not in name and name.endswith(".json")) for name in inside)


def _is_report(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _FIRST_BYTES.match(file.read(200)) is not None


def check_parent(named: Path, target: Path) -> None:
    """Refuse where the nearest folder that exists is none, or nothing of that name can be written to it."""
    parent = target.parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(
            str(named), expected=f"a folder at {parent}", got="a file", remedy="name another place to write"
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".ntkspec.", dir=parent))  # who may write is hard to tell otherwise
        longest = os.pathconf(parent, "PC_NAME_MAX")
    except OSError as error:
        raise OutputError(
            str(named),
            expected=f"a folder at {parent} that may be written to",
            got=error.strerror or str(error),
            remedy="name another place to write",
        ) from None
    if any(len(os.fsencode(part)) > longest for part in target.parts):
        raise OutputError(
            str(named),
            expected=f"names of at most {longest} bytes",
            got="a longer one",
            remedy="name another place to write",
        )


def resolved(path: Path) -> Path:
    """The path without links and "~"; it need not exist."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(
            str(path),
            expected="a path that can be followed",
            got=str(error),
            remedy="name another place to write",
        ) from error


@contextmanager
def _as_output_error(named: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise
        raise OutputError(
            str(named),
            expected="a place that can be written",
            got=error.strerror or str(error),
            remedy="free some space or name another place to write",
        ) from error
