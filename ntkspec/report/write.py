"""Report folders and JSON files on disk: complete or not there at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ntkspec.errors import OutputError
from ntkspec.report.data import Report
from ntkspec.report.to_csv import write_csv
from ntkspec.report.to_json import FORMAT, dumps

JSON, CSV, PAGE, FIGURES = "report.json", "spectra.csv", "index.html", "figures"
FIGURE_NAMES = ("spectra", "ablation", "panels", "pictures", "decades")

_OURS = frozenset(
    {JSON, CSV, PAGE, FIGURES}
    | {f"{FIGURES}/{name}.{ending}" for name in FIGURE_NAMES for ending in ("png", "svg")}
)
_FIRST_BYTES = re.compile(rb'\s*\{\s*"format":\s*"' + FORMAT.encode() + rb'"')


def check_folder(folder: Path) -> None:
    """Raise `OutputError` where `write_report` would refuse this folder; nothing is written.

    A folder may be absent, empty, or one that this program wrote and nobody added to.
    """
    target = _resolved(folder)
    _check_parent(folder, target.parent)
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(
            str(folder),
            expected="a folder to write",
            got="a file",
            remedy="name another folder with -o, or move the file",
        )
    if target == Path.cwd():
        raise OutputError(
            str(folder),
            expected="a folder that can be replaced as a whole",
            got="the current folder",
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
    """Write report.json, spectra.csv, the figures as PNG and SVG, and index.html into a folder.

    Everything goes into a hidden folder beside it first, which then takes the folder's place; on any failure
    or interruption the hidden folder is removed and the old one is as it was.

    Args:
        report: what to write.
        folder: see `check_folder`.

    Returns:
        The files written, the page first.
    """
    check_folder(folder)
    target = _resolved(folder)
    part = _beside(target, "part")
    with _as_output_error(folder), _new_parents(target):
        try:
            part.mkdir()
            names = _fill(report, part)
            check_folder(folder)  # the work took a while: someone may have put a file there
            _swap(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in names]


def check_json_file(path: Path) -> None:
    """Raise `OutputError` where `write_json_file` would refuse this path; nothing is written.

    A file that is there already may be replaced only where it is empty or a report of this program's.
    """
    target = _resolved(path)
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
        _check_parent(path, target.parent)
    with _as_output_error(path):
        foreign = target.is_file() and target.stat().st_size > 0 and not _is_report(target)
    if foreign:
        raise OutputError(
            str(path),
            expected="no file, or a report that this program wrote as JSON",
            got="another file",
            remedy="name another file with --json, or move the one that is there",
        )


def write_json_file(report: Report, path: Path) -> None:
    """Write report.json's text to a file of any name, replaced in one step; a pipe or device is filled."""
    check_json_file(path)
    target = _resolved(path)
    with _as_output_error(path):
        if os.path.lexists(target) and not target.is_file():
            path.write_text(dumps(report), encoding="utf-8")
            return
        part = _beside(target, "part")
        try:
            _write_text(part, dumps(report))
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def _fill(report: Report, part: Path) -> list[str]:
    """Write everything into an empty folder; names relative to it."""
    from ntkspec.report.figures import draw_all, to_bytes
    from ntkspec.report.page import render_page

    _write_text(part / JSON, dumps(report))
    with (part / CSV).open("w", encoding="utf-8", errors="replace", newline="") as file:
        write_csv(report, file)
    names = [PAGE, JSON, CSV]
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
    old = _beside(target, "old")
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
            return next((path.name for path in found if path.name not in _OURS), found[0].name)
        inside = sorted((target / FIGURES).iterdir()) if (target / FIGURES).is_dir() else []
        for path in (*found, *inside):
            name = path.relative_to(target).as_posix()
            plain = path.is_dir() if name == FIGURES else path.is_file()
            if name not in _OURS or path.is_symlink() or not plain:
                return name
    return None


def _is_report(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _FIRST_BYTES.match(file.read(200)) is not None


def _check_parent(named: Path, parent: Path) -> None:
    """Refuse where the nearest folder that exists is none, or cannot be written to."""
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(
            str(named), expected=f"a folder at {parent}", got="a file", remedy="name another place to write"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            str(named),
            expected=f"a folder at {parent} that may be written to",
            got="permission denied",
            remedy="name another place to write",
        )


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(
            str(path),
            expected="a path that can be followed",
            got=str(error),
            remedy="name another place to write",
        ) from error


def _beside(target: Path, ending: str) -> Path:
    """A hidden name of its own in the same folder, so that a rename stays on one file system."""
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.{ending}")


@contextmanager
def _new_parents(target: Path) -> Iterator[None]:
    """Make the folders above `target`; on any failure take away those that were made."""
    made = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


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
