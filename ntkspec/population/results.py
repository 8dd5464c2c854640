"""Read and write the results of a batch: a folder for each run, which is complete or does not exist.

A folder is called `<stem of the run file>-<key>`, with the first 8 digits of a hash of the run file's bytes,
the settings and the version of this program. `made.json` in it states these, and the paths at which such a
file was seen, each with its sign: a file that still has this sign need not be read to know it again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ntkspec._version import __version__
from ntkspec.errors import NtkspecError, OutputError, RunFileError
from ntkspec.machine.file_sign import Sign, sign_of
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.report import Failed
from ntkspec.report import Report
from ntkspec.report.write import FOLDER, JSON, PAGE, write_data, write_everything
from ntkspec.runs.analysis import RunSettings

MADE = "made.json"
FAILED = "failed"  # folder of the errors of runs that could not be analysed
FORMAT = "ntkspec-results"  # of made.json
DATA = FOLDER.files - {PAGE}
END = b"}\n"  # of report.json, after which nothing comes
RUN_FOLDER = replace(FOLDER, json=MADE, format=FORMAT, files=FOLDER.files | {MADE}, option="")
LONGEST = 100  # bytes of a stem in the name of a folder, where file systems have room for 255


@dataclass(frozen=True)
class Made:
    """What the results of a run were made from, and which bounds and checks do not hold."""

    stem: str  # of the run file that was analysed
    key: str  # hash of its bytes, of settings and version
    asked: str  # hash of settings and version alone
    seen: Mapping[str, Sign]  # signs of the run files that have these bytes, by path
    broken: tuple[str, ...] = ()  # bounds and checks that do not hold

    def folder(self, results: Path) -> Path:
        """Return the folder of these results, inside the folder of the batch."""
        return results / f"{self.stem}-{self.key[:8]}"

    def is_of(self, run: str) -> bool:
        """Return whether a run file is unchanged since it had these results."""
        return run in self.seen and self.seen[run] == sign_of(run)


def asked(settings: RunSettings) -> str:
    """Return a hash of settings and version; equal hashes mean equal results on machines of the same kind.

    The memory budget is left out: it decides only what fits, and it differs from one start of a worker to the
    next.

    Args:
        settings: how runs are analysed.

    Example:
        >>> asked(RunSettings(memory=1)) == asked(RunSettings())
        True
    """
    settings_asked = {name: value for name, value in asdict(settings).items() if name != "memory"}
    return _hash(json.dumps([__version__, settings_asked]).encode())


def identify(run_file: Path, settings: RunSettings) -> Made:
    """Read a run file and return the record of what its results would be made from.

    Args:
        run_file: its absolute path.
        settings: how it is to be analysed.

    Raises:
        RunFileError: it cannot be read.
    """
    sign = sign_of(run_file)
    if sign is not None and not run_file.is_file():
        got = "a folder" if run_file.is_dir() else "a device or pipe"
        raise RunFileError(str(run_file), expected="a run file", got=got, remedy="name a file")
    try:
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
    return Made(_short(run_file.stem), key, settings_asked, {str(run_file): sign or (0, 0, 0)})


def find(results: Path, wanted: Made, *, pages: bool = False) -> Made | None:
    """Return the record of existing results, or None if there are none.

    Args:
        results: folder of the batch.
        wanted: what the results are to be made from, see `identify`.
        pages: whether they must have a page.

    Raises:
        OutputError: the folder has results of another run, whose key begins with the same 8 digits.
    """
    folder = wanted.folder(results)
    made = _read(folder / MADE)
    if made is not None and made.key != wanted.key:
        raise OutputError(
            str(folder),
            expected=f"no results, or those of {next(iter(wanted.seen))}",
            got=f"those of {next(iter(made.seen), 'another run')}",
            remedy="rename one of the two run files",
        )
    return made if made is not None and is_whole(folder, pages=pages) else None


def is_whole(folder: Path, *, pages: bool) -> bool:
    """Return whether a folder of results has all its files, a whole report and, with `pages`, a page."""
    wanted = DATA | ({PAGE} if pages else set())
    return all((folder / name).is_file() for name in wanted) and _is_report(folder / JSON)


def _is_report(path: Path) -> bool:
    """Return whether a file begins and ends as report.json does; one that was cut off or emptied does not."""
    try:
        with path.open("rb") as file:
            file.seek(-len(END), os.SEEK_END)
            return file.read() == END and FOLDER.is_json(path.resolve())
    except OSError:  # shorter than that, or not readable
        return False


def all_made(results: Path) -> Iterator[Made]:
    """Yield the record of each folder of results, sorted by folder name; skip other folders."""
    for place in sorted(results.glob(f"*/{MADE}")):
        made = _read(place)
        if made is not None and made.folder(results) == place.parent and is_whole(place.parent, pages=False):
            yield made


def write_results(results: Path, made: Made, report: Report, *, pages: bool) -> None:
    """Write the folder of a run's results, completely or not at all.

    Args:
        results: folder of the batch.
        made: what the report was made of.
        report: of this run alone.
        pages: whether to write also the figures and the page that `python -m ntkspec.analyze` makes.

    Raises:
        OutputError: it cannot be written.
    """

    def fill(part: Path) -> list[str]:
        names = (write_everything if pages else write_data)(report, part)
        _write(part, made)
        return [*names, MADE]

    RUN_FOLDER.write(made.folder(results), fill)


def remember(results: Path, existing: Made, wanted: Made) -> None:
    """Add a run file's path and sign to the record of existing results, and remove paths whose file is gone.

    Args:
        results: folder of the batch.
        existing: the record of these results.
        wanted: the record of the run file, see `identify`.
    """
    seen = {run: sign for run, sign in existing.seen.items() if sign_of(run) is not None}
    seen |= dict(wanted.seen)
    if seen != existing.seen:
        _write(existing.folder(results), replace(existing, seen=seen))


def note_failure(results: Path, failed: Failed, settings: RunSettings) -> None:
    """Store why a run could not be analysed; `forget_failure` removes it."""
    write_json(_failure_file(results, failed.path), asdict(failed) | {"asked": asked(settings)})


def forget_failure(results: Path, run: str) -> None:
    """Remove the failure that `note_failure` stored for a run."""
    _failure_file(results, run).unlink(missing_ok=True)


def all_failures(results: Path, way: str) -> Iterator[Failed]:
    """Yield the runs that could not be analysed when they were last tried, sorted by name.

    Args:
        results: folder of the batch.
        way: the hash of the settings, see `asked`.
    """
    for place in sorted(results.glob(f"{FAILED}/*.json")):
        try:
            content = read_json(place)
            if content.pop("asked") == way:
                yield Failed(**content)
        except (OSError, *OTHER_SHAPE):
            continue


def _failure_file(results: Path, run: str) -> Path:
    return results / FAILED / f"{_short(Path(run).stem)}-{_hash(os.fsencode(run))[:8]}.json"


def _short(stem: str) -> str:
    return os.fsencode(stem)[:LONGEST].decode("utf-8", "ignore")


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _write(folder: Path, made: Made) -> None:
    write_json(folder / MADE, {"format": FORMAT} | asdict(made))


def _read(place: Path) -> Made | None:
    """Read a made.json; return None if it does not exist or is not such a file."""
    try:
        content = read_json(place)
        seen = {run: (int(a), int(b), int(c)) for run, (a, b, c) in content["seen"].items()}
        texts = [content[name] for name in ("stem", "key", "asked")]
        if not all(isinstance(text, str) for text in [*texts, *content["broken"]]):
            return None
        return Made(texts[0], texts[1], texts[2], seen, tuple(content["broken"]))
    except (OSError, NtkspecError, *OTHER_SHAPE):
        return None
