"""Results of a batch: one folder a run, whole or not there, known again by what it was made of.

A folder is called `<stem of the run file>-<key>`: the first 8 digits of a hash of the run file's bytes, the
settings and the version of this program. `made.json` in it says what that was, and how large and how old the
file was then: one that is as large and as old need not be read again to know that it is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ntkspec._version import __version__
from ntkspec.errors import NtkspecError, OutputError, RunFileError
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.report import Failed
from ntkspec.report import Report
from ntkspec.report.write import FOLDER, JSON, write_data, write_everything
from ntkspec.run_analysis import RunSettings

MADE = "made.json"
FAILED = "failed"  # folder for what could not be analysed, and why
RUN_FOLDER = replace(FOLDER, files=FOLDER.files | {MADE})
LONGEST = 100  # bytes of a stem in the name of a folder, where file systems have room for 255


@dataclass(frozen=True)
class Made:
    """What the results of a run are made of."""

    run: str  # the run file's path
    size: int  # bytes of it
    mtime_ns: int  # when it was last changed
    key: str  # hash of its bytes, of settings and version
    asked: str  # hash of settings and version alone

    def folder(self, results: Path) -> Path:
        """Return where the results go."""
        return results / f"{_short(Path(self.run).stem)}-{self.key[:8]}"

    def is_there(self, results: Path) -> bool:
        """Return whether the folder holds these results.

        Raises:
            OutputError: it holds another run's, whose key begins with the same 8 digits.
        """
        folder = self.folder(results)
        made = _read(folder / MADE)
        if made is not None and made.key != self.key:
            raise OutputError(
                str(folder),
                expected=f"no results, or those of {self.run}",
                got=f"those of {made.run}",
                remedy="rename one of the two run files",
            )
        return made is not None and (folder / JSON).is_file()

    def is_unchanged(self) -> bool:
        """Return whether the run file is as large and as old as it was."""
        try:
            status = Path(self.run).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


def asked(settings: RunSettings) -> str:
    """Return a hash that is equal for settings and versions that give equal results.

    The memory budget is left out: it decides what fits, and a worker's part of the memory differs from one
    start to the next.

    Args:
        settings: how runs are analysed.

    Example:
        >>> asked(RunSettings(memory=1)) == asked(RunSettings())
        True
    """
    settings_asked = {name: value for name, value in asdict(settings).items() if name != "memory"}
    return _hash(json.dumps([__version__, settings_asked]).encode())


def identify(run_file: Path, settings: RunSettings) -> Made:
    """Return what the results of a run file would be made of; reads the file.

    Args:
        run_file: its absolute path.
        settings: how it would be analysed.

    Raises:
        RunFileError: it cannot be read.
    """
    try:
        status = run_file.stat()
        with run_file.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise RunFileError(
            str(run_file),
            expected="a run file",
            got=getattr(error, "strerror", None) or str(error),
            remedy="check the path, and who may read it",
        ) from None
    settings_asked = asked(settings)
    key = _hash(f"{content} {settings_asked}".encode())
    return Made(str(run_file), status.st_size, status.st_mtime_ns, key, settings_asked)


def all_made(results: Path) -> Iterator[Made]:
    """Yield what each folder of results is made of, by name; other folders are passed over."""
    for place in sorted(results.glob(f"*/{MADE}")):
        made = _read(place)
        if made is not None and made.folder(results) == place.parent:
            yield made


def write_results(results: Path, made: Made, report: Report, *, pages: bool) -> Path:
    """Write the folder of a run in one step, and forget that it failed before; returns its path.

    Args:
        results: folder of the batch.
        made: what the report is made of.
        report: of this run alone.
        pages: also the figures and the page that `python -m ntkspec.analyze` makes.

    Raises:
        OutputError: it cannot be written.
    """

    def fill(part: Path) -> list[str]:
        names = (write_everything if pages else write_data)(report, part)
        write_json(part / MADE, asdict(made))
        return [*names, MADE]

    folder = made.folder(results)
    RUN_FOLDER.write(folder, fill)
    _failure_file(results, made.run).unlink(missing_ok=True)
    return folder


def remember(results: Path, made: Made) -> None:
    """Note of results that are there how old their run file is now, if it was touched or copied over."""
    place = made.folder(results) / MADE
    before = _read(place)
    if before is not None and before.run == made.run and before != made:
        write_json(place, asdict(made))


def note_failure(results: Path, failed: Failed) -> None:
    """Keep why a run could not be analysed, until it can."""
    write_json(_failure_file(results, failed.path), asdict(failed))


def all_failures(results: Path) -> Iterator[Failed]:
    """Yield the runs that could not be analysed when they were last tried, by name."""
    for place in sorted(results.glob(f"{FAILED}/*.json")):
        try:
            yield Failed(**read_json(place))
        except (OSError, *OTHER_SHAPE):
            continue


def _failure_file(results: Path, run: str) -> Path:
    return results / FAILED / f"{_short(Path(run).stem)}-{_hash(os.fsencode(run))[:8]}.json"


def _short(stem: str) -> str:
    return os.fsencode(stem)[:LONGEST].decode("utf-8", "ignore")


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _read(place: Path) -> Made | None:
    try:
        return Made(**read_json(place))
    except (OSError, NtkspecError, *OTHER_SHAPE):
        return None
