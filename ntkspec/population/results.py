"""Results of a batch: one folder a run, whole or not there, known again by what it was made of.

A folder is called `<stem of the run file>-<key>`: the first 8 digits of a hash of the run file's bytes, the
settings and the version of this program. `made.json` in it says what that was, and under which paths such a
file was seen, with what sign: one that has the sign still need not be read again to know that it is the same.
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
from ntkspec.file_sign import Sign, sign_of
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.report import Failed
from ntkspec.report import Report
from ntkspec.report.write import FOLDER, PAGE, write_data, write_everything
from ntkspec.run_analysis import RunSettings

MADE = "made.json"
FAILED = "failed"  # folder for what could not be analysed, and why
FORMAT = "ntkspec-results"  # which made.json begins with
DATA = FOLDER.files - {PAGE}
RUN_FOLDER = replace(FOLDER, json=MADE, format=FORMAT, files=FOLDER.files | {MADE}, option="")
LONGEST = 100  # bytes of a stem in the name of a folder, where file systems have room for 255


@dataclass(frozen=True)
class Made:
    """What the results of a run are made of, and which of its own statements a run does not keep."""

    stem: str  # of the run file that was analysed
    key: str  # hash of its bytes, of settings and version
    asked: str  # hash of settings and version alone
    seen: Mapping[str, Sign]  # the run files of these bytes, by path
    broken: tuple[str, ...] = ()  # bounds and checks that do not hold

    def folder(self, results: Path) -> Path:
        """Return where the results go."""
        return results / f"{self.stem}-{self.key[:8]}"

    def is_of(self, run: str) -> bool:
        """Return whether a run file is as it was when it was known to have these results."""
        return run in self.seen and self.seen[run] == sign_of(run)


def asked(settings: RunSettings) -> str:
    """Return a hash that is equal for settings and versions that give equal results, on one kind of machine.

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
    """Return what is known of results that are there, or None.

    Args:
        results: folder of the batch.
        wanted: what they are to be made of.
        pages: whether they are to have a page.

    Raises:
        OutputError: the folder holds another run's, whose key begins with the same 8 digits.
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
    """Return whether a folder of results has what it should have."""
    wanted = DATA | ({PAGE} if pages else set())
    return all((folder / name).is_file() for name in wanted)


def all_made(results: Path) -> Iterator[Made]:
    """Yield what each folder of results is made of, by name; other folders are passed over."""
    for place in sorted(results.glob(f"*/{MADE}")):
        made = _read(place)
        if made is not None and made.folder(results) == place.parent and is_whole(place.parent, pages=False):
            yield made


def write_results(results: Path, made: Made, report: Report, *, pages: bool) -> None:
    """Write the folder of a run in one step.

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
        _write(part, made)
        return [*names, MADE]

    RUN_FOLDER.write(made.folder(results), fill)


def remember(results: Path, there: Made, wanted: Made) -> None:
    """Note under which path and with what sign a run file is there whose results are.

    Paths at which there is no file any more are forgotten.
    """
    seen = {run: sign for run, sign in there.seen.items() if sign_of(run) is not None} | dict(wanted.seen)
    if seen != there.seen:
        _write(there.folder(results), replace(there, seen=seen))


def note_failure(results: Path, failed: Failed, settings: RunSettings) -> None:
    """Keep why a run could not be analysed, until it can."""
    write_json(_failure_file(results, failed.path), asdict(failed) | {"asked": asked(settings)})


def forget_failure(results: Path, run: str) -> None:
    """Forget that a run could not be analysed."""
    _failure_file(results, run).unlink(missing_ok=True)


def all_failures(results: Path, way: str) -> Iterator[Failed]:
    """Yield the runs that could not be analysed with some settings when they were last tried, by name.

    Args:
        results: folder of the batch.
        way: what `asked` says of the settings.
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
    try:
        content = read_json(place)
        seen = {run: (int(a), int(b), int(c)) for run, (a, b, c) in content["seen"].items()}
        texts = [content[name] for name in ("stem", "key", "asked")]
        if not all(isinstance(text, str) for text in [*texts, *content["broken"]]):
            return None
        return Made(texts[0], texts[1], texts[2], seen, tuple(content["broken"]))
    except (OSError, NtkspecError, *OTHER_SHAPE):
        return None
