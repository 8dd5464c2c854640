"""Store results beside their run files, so that nothing is computed twice and stopped work can continue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ntkspec.errors import NtkspecError, UsageError
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json

Kept = TypeVar("Kept")


class Result(Protocol):
    """What is stored of a run, such as its `Outcome`."""

    @property
    def item(self) -> str:
        """Return the name of the picture or mesh."""

    @property
    def name(self) -> str:
        """Return the name of the run file."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the settings with which the run was made."""


def is_of(result: Result, run_file: Path) -> bool:
    """Return whether a result says that it is of this run file, by item and name."""
    return (result.item, result.name) == (run_file.parent.name, run_file.stem)


@dataclass(frozen=True)
class ResultKind(Generic[Kept]):
    """A kind of result, and the functions that make, store and read it.

    The result of the run file `goldfish/mpe.h5` is stored in `goldfish/mpe.json`. A stored result is used if
    its file is complete, has the number `version`, is not older than the run file and belongs to this run;
    otherwise the result is computed again. A run file may be deleted once its result is stored.
    """

    name: str  # key of the result in the file, beside "version"
    title: str  # names it in messages, such as "an outcome"
    version: int  # to be raised when the analysis changes: then all is analysed anew
    make: Callable[[Path], Kept]  # computes it from a run file
    to_tree: Callable[[Kept], Any]  # converts it to what JSON can hold
    from_tree: Callable[[Any], Kept]  # converts it back; raises `NtkspecError` or one of `OTHER_SHAPE`
    belongs: Callable[[Kept, Path], bool]  # whether the result says that it is of this run file

    def find(self, run_file: Path) -> Kept | None:
        """Return the stored result of a run, or None if there is none that can be used."""
        place = run_file.with_suffix(".json")
        if not place.exists() or (run_file.exists() and place.stat().st_mtime < run_file.stat().st_mtime):
            return None
        try:
            content = read_json(place)
            result = self.from_tree(content[self.name]) if content["version"] == self.version else None
        except (NtkspecError, *OTHER_SHAPE):
            return None
        return result if result is not None and self.belongs(result, run_file) else None

    def find_or_make(self, run_file: Path) -> Kept:
        """Return the result of a run; compute and write it if no stored one can be used.

        Raises:
            NtkspecError: the run file is bad, or nothing can be written beside it.
        """
        result = self.find(run_file)
        if result is None:
            result = self.make(run_file)
            content = {"version": self.version, self.name: self.to_tree(result)}
            write_json(run_file.with_suffix(".json"), content)
        return result

    def all_in(self, place: Path) -> list[Kept]:
        """Return the results of all runs in the subfolders of a folder; compute those that are missing.

        Raises:
            UsageError: a result is of an older version or damaged, and its run file gone.
        """
        runs = set(place.glob("*/*.h5"))
        results = [self.find_or_make(path) for path in sorted(runs)]
        for path in sorted({path.with_suffix(".h5") for path in place.glob("*/*.json")} - runs):
            kept = self.find(path)
            if kept is not None:
                results.append(kept)
            elif self._was_ours(path.with_suffix(".json")):
                raise UsageError(
                    str(path.with_suffix(".json")),
                    expected=f"{self.title} of version {self.version}, or its run file to analyse again",
                    got="neither",
                    remedy="delete it and let the study make it again",
                )
        return results

    def _was_ours(self, path: Path) -> bool:
        """Return whether a file is a result of another version, or is not JSON at all."""
        try:
            content = read_json(path)
            return has_members(content, self.name) and content["version"] != self.version
        except ValueError:
            return True


def has_members(content: object, *names: str) -> bool:
    """Return whether the content of a JSON file has exactly these members and a version."""
    return isinstance(content, dict) and set(content) == {"version", *names}
