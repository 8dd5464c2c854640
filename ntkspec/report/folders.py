"""Write folders completely or not at all, and never replace a folder that this program did not write."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ntkspec._io import (
    beside,
    hidden_folder,
    locked,
    new_parents,
    remove_leftovers,
    try_folder,
    wait_for_disk,
)
from ntkspec.errors import OutputError
from ntkspec.report.themes import both_themes
from ntkspec.store.disk import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "figures"  # the one folder inside
ENDINGS = ("svg", "png", "pdf")  # of each figure's files


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder: the files it may contain, and the JSON file whose first bytes identify it."""

    json: str  # the name of that file
    format: str  # which its text begins with
    files: frozenset[str]  # names of all files, that one among them
    figures: frozenset[str]  # names of figures, without their endings
    option: str = ""  # with which its command replaces a folder that somebody added to, if it has one

    @cached_property
    def names(self) -> frozenset[str]:
        """Return every name that the folder may contain, relative to the folder."""
        pictures = {f"{FIGURES}/{name}.{ending}" for name in self.figures for ending in ENDINGS}
        return self.files | {FIGURES} | pictures

    def check(self, folder: Path, *, overwrite: bool = False) -> None:
        """Raise `OutputError` if `write` would refuse this folder; write nothing.

        A folder is accepted if it is absent, empty, or of this kind without any added files.

        Args:
            folder: what is to be written.
            overwrite: accept a folder of this kind with added files, too; other folders are always refused.
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
                remedy="name another folder, or move the file",
            )
        if Path.cwd().is_relative_to(target):
            raise OutputError(
                str(folder),
                expected="a folder that can be replaced as a whole",
                got="the current folder, or one around it",
                remedy="name a folder inside it, such as ⟦-o|folder=report⟧",
            )
        with as_output_error(folder):
            ours = self.is_json(target / self.json)
            strangers = self._strangers(target, added=not (overwrite and ours))
        if strangers:
            remedy = "name another folder, or move what is there"
            raise OutputError(
                str(folder),
                expected="no folder, an empty one, or one that this program wrote",
                got=f"one that holds {strangers[0]!r}",
                remedy=f"give {self.option} to keep it there, {remedy}" if ours and self.option else remedy,
            )

    def write(
        self, folder: Path, fill: Callable[[Path], list[str]], *, overwrite: bool = False
    ) -> list[Path]:
        """Write all files into a hidden folder by calling `fill`, then move it to the folder's place.

        After any failure or interruption the hidden folder is removed, and the old folder is unchanged. Files
        that others added to the old folder are kept, and so are further JSON files of this kind's format.
        Hidden folders that a killed process left are removed.

        Args:
            folder: see `check`.
            fill: called with an empty folder; writes the files into it and returns their names.
            overwrite: see `check`.

        Returns:
            The files written, in the order of `fill`.

        Raises:
            OutputError: see `check`, or something cannot be written.
        """
        self.check(folder, overwrite=overwrite)
        target = resolved(folder)
        with as_output_error(folder), new_parents(target), hidden_folder(target) as part:
            names = fill(part)
            # The work took a while: someone may have put a file there.
            self.check(folder, overwrite=overwrite)
            for path in _inside(target):
                if (name := path.relative_to(target)).as_posix() not in self.names:
                    _keep(path, part / name)
            if target.is_dir():  # who may read the old one may read the new one
                shutil.copymode(target, part)
            _swap(part, target)
        remove_leftovers(target, self.is_leftover)
        return [folder / name for name in names]

    def is_json(self, path: Path) -> bool:
        """Return whether a path is a JSON file that begins with this folder kind's "format" value."""
        if path.is_symlink() or not path.is_file():
            return False
        first_bytes = re.compile(rb'\s*\{\s*"format":\s*"' + self.format.encode() + rb'"')
        with path.open("rb") as file:
            return first_bytes.match(file.read(200)) is not None

    def is_leftover(self, path: Path) -> bool:
        """Return whether a path is a folder or a JSON file that this kind writes, perhaps unfinished."""
        if path.is_file():
            return path.stat().st_size == 0 or self.is_json(path)
        inside = {file.relative_to(path).as_posix() for file in path.rglob("*")}
        return all(name in self.names or ("/" not in name and name.endswith(".json")) for name in inside)

    def _strangers(self, target: Path, *, added: bool) -> list[str]:
        """Return the names of entries because of which a folder must not be replaced.

        In a folder of this kind, these are links under a name in `names`, and folders where files should be,
        or the reverse. In another folder, these are the entries whose names are not in `names`, or else all.

        Args:
            added: whether files that others added to a folder of this kind count, too.
        """
        present = _inside(target)
        names = [path.relative_to(target).as_posix() for path in present]
        if present and not self.is_json(target / self.json):
            return [name for name in names if name not in self.names] or names
        strangers = []
        for path, name in zip(present, names, strict=True):
            plain = not path.is_symlink() and (path.is_dir() if name == FIGURES else path.is_file())
            further = "/" not in name and self.is_json(path)  # --json may have put it there
            if not plain if name in self.names else (added and not further):
                strangers.append(name)
        return strangers


def _inside(target: Path) -> list[Path]:
    """Return the paths in a folder and in its subfolder of figures; an empty list if there is no folder."""
    figures = target / FIGURES
    inside = sorted(figures.iterdir()) if figures.is_dir() and not figures.is_symlink() else []
    return [*(sorted(target.iterdir()) if target.is_dir() else []), *inside]


def _keep(path: Path, copy: Path) -> None:
    """Copy a file, link or folder that others added into the new folder, by hard links if possible."""
    copy.parent.mkdir(exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, copy, symlinks=True, copy_function=_link)
    else:
        _link(path, copy)


def _link(path: str | Path, copy: str | Path) -> None:
    try:
        os.link(path, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without hard links
        shutil.copy2(path, copy, follow_symlinks=False)


def write_figures(
    part: Path, figures: Iterable[tuple[str, Figure]], dark: Mapping[str, str]
) -> tuple[list[str], dict[str, bytes]]:
    """Write each figure as PNG, PDF and SVG into the subfolder for figures.

    Args:
        part: the folder.
        figures: with their names.
        dark: maps a colour to the one on a dark background, see `themes.both_themes`.

    Returns:
        The names relative to the folder, and the SVG files by the names of the figures.
    """
    from ntkspec.report.canvas import to_bytes

    (part / FIGURES).mkdir()
    names: list[str] = []
    pictures: dict[str, bytes] = {}
    for name, figure in figures:
        for ending in ENDINGS:
            content = to_bytes(figure, ending)
            if ending == "svg":
                content = pictures[name] = both_themes(content, dark)
            names.append(f"{FIGURES}/{name}.{ending}")
            (part / names[-1]).write_bytes(content)
            # It is laid out once; "none" instead of None would still draw it once more for each file.
            figure.set_layout_engine(None)
    return names, pictures


def write_text(path: Path, text: str) -> None:
    """Write a text with any characters, and wait until it is on the disk."""
    write_file(path, lambda file: file.write(text))


def write_file(path: Path, fill: Callable[[TextIO], object]) -> None:
    """Write a text file by calling `fill`, and wait until it is on the disk; line ends stay as they are."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        fill(file)
        file.flush()
        wait_for_disk(file.fileno())


def check_parent(named: Path, target: Path) -> None:
    """Raise `OutputError` if no file or folder `target` can be made.

    Its nearest parent that exists must be a folder that may be written to, and names must not be too long.

    Args:
        named: the path as the user gave it, for messages.
        target: the same, resolved.
    """
    parent = target.parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(
            str(named), expected=f"a folder at {parent}", got="a file", remedy="name another place to write"
        )
    try:
        try_folder(parent, ".ntkspec.")
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
    """Return the path without links and "~"; it need not exist."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(
            str(path),
            expected="a path that can be followed",
            got=str(error),
            remedy="name another place to write",
        ) from error


def as_output_error(named: Path) -> AbstractContextManager[None]:
    """Turn an `OSError` inside the `with` block into an `OutputError`, unless memory is short."""
    remedy = "free some space or name another place to write"
    return writing(named, "a place that can be written", remedy)


def _swap(part: Path, target: Path) -> None:
    """Move the folder `part` to `target`; if anything fails, the old folder at `target` stays."""
    old = beside(target, "old")
    with locked(target):  # so that no other run takes the old one for a leftover of a killed run
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
