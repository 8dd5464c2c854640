"""Report folders: whole or not at all, and never in the place of somebody else's files."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ntkspec.errors import OutputError
from ntkspec.report import check_folder, check_json_file, folders, write_json_file, write_report
from ntkspec.report.records import Report

from . import samples


@pytest.fixture
def small() -> Report:
    return samples.one_run(samples.plain_run("one", 9, 0.5, size=8))


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_there(folder: Path) -> None:
    names = {"spectra", "training", "ablation", "panels", "pictures", "decades"}
    expected = {"report.json", "spectra.csv", "snapshots.csv", "index.html"}
    expected |= {f"figures/{name}.{ending}" for name in names for ending in ("png", "pdf", "svg")}
    assert set(_tree(folder)) == expected
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


@pytest.mark.usefixtures("undrawn")
def test_paths_are_returned(small: Report, tmp_path: Path) -> None:
    paths = write_report(small, tmp_path / "a" / "b")
    assert all(path.is_file() for path in paths)
    assert paths[0].name == "index.html"


@pytest.mark.usefixtures("undrawn")
def test_own_and_empty_folders_are_replaced(small: Report, report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(report, folder)
    write_report(small, folder)
    assert len(json.loads((folder / "report.json").read_text())["runs"]) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("stranger", ["notes.txt", "figures/mine.png", "sub/x"])
def test_a_stranger_in_an_own_folder_is_named(small: Report, tmp_path: Path, stranger: str) -> None:
    folder = tmp_path / "report"
    write_report(small, folder)
    (folder / stranger).parent.mkdir(exist_ok=True)
    (folder / stranger).write_text("precious")
    before = _tree(folder)
    with pytest.raises(OutputError, match=stranger.split("/x")[0]):
        write_report(small, folder)
    assert _tree(folder) == before


@pytest.mark.usefixtures("undrawn")
def test_overwriting_leaves_what_others_added(
    small: Report, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    write_report(report, folder)
    added = {"notes.txt": b"precious", "figures/mine.png": b"mine", "sub/deep/x": b"x"}
    for name, content in added.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to("notes.txt")
    (folder / "figures/spectra.svg").write_text("of the older report")
    folder.chmod(0o700)
    check_folder(folder, overwrite=True)
    with pytest.raises(OutputError, match="give overwrite=True to keep it there"):
        check_folder(folder)
    for _ in range(2):
        write_report(small, folder, overwrite=True)
        monkeypatch.setattr(folders.os, "link", Full(OSError(errno.EPERM, "no hard links here")))
    found = _tree(folder)
    assert added.items() <= found.items()
    assert (folder / "link").readlink() == Path("notes.txt")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "figures/spectra.svg" not in found
    assert len(json.loads(found["report.json"])["runs"]) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("undrawn")
def test_overwriting_replaces_nothing_but_reports(small: Report, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("a page of somebody")
    with pytest.raises(OutputError, match=r"one that holds 'index\.html'; name another"):
        write_report(small, tmp_path / "site", overwrite=True)
    write_report(small, tmp_path / "linked")
    (tmp_path / "linked/index.html").unlink()
    (tmp_path / "linked/index.html").symlink_to(tmp_path / "site/index.html")
    with pytest.raises(OutputError, match=r"one that holds 'index\.html'"):
        write_report(small, tmp_path / "linked", overwrite=True)
    assert (tmp_path / "site/index.html").read_text() == "a page of somebody"


@pytest.mark.parametrize(
    "content",
    [{"data.h5": "x"}, {"report.json": "{}"}, {"report.json": '{"format": "other"}', "index.html": "x"}],
)
def test_foreign_folders_are_refused(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(OutputError, match="expected no folder, an empty one"):
        check_folder(tmp_path)


def test_files_links_and_the_current_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for path in (file, file / "below", Path(), Path("\0")):
        with pytest.raises(OutputError):
            check_folder(path)
    assert list(here.iterdir()) == []


def test_checking_writes_nothing(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "report")
    assert list(tmp_path.iterdir()) == []


class Full:
    """Stands for a renderer on a full disk, or one that is interrupted."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise self.error


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
@pytest.mark.parametrize("where", ["ntkspec.report.page.render_page", "ntkspec.report.folders._swap"])
def test_failure_leaves_the_old_report(
    small: Report,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    where: str,
) -> None:
    folder = tmp_path / "report"
    write_report(small, folder)
    before = _tree(folder)
    monkeypatch.setattr(where, Full(error))
    with pytest.raises(raised):
        write_report(small, folder)
    with pytest.raises(raised):
        write_report(small, tmp_path / "deep" / "new")
    assert _tree(folder) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("undrawn")
def test_failure_of_the_second_rename_brings_the_old_folder_back(
    small: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    write_report(small, folder)
    before = _tree(folder)
    real = folders.os.rename

    def rename(source: Path, target: Path) -> None:
        if source.name.endswith(".part"):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(folders.os, "rename", rename)
    with pytest.raises(OutputError, match="Input/output error"):
        write_report(small, folder)
    assert _tree(folder) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_json_file_refusals(small: Report, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a folder"):
        check_json_file(tmp_path)
    with pytest.raises(OutputError, match="none of that name"):
        write_json_file(small, tmp_path / "absent" / "x.json")


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n rest", b'{"format": "other"}', b"old"])
def test_json_takes_no_foreign_place(small: Report, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mpe.h5"
    path.write_bytes(content)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(OutputError, match=name.name):
            check_json_file(name)
        with pytest.raises(OutputError, match="a report that this program wrote"):
            write_json_file(small, name)
    assert path.read_bytes() == content


def test_json_takes_the_place_of_its_own(small: Report, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    for _ in range(2):
        check_json_file(path)
        write_json_file(small, path)
    assert json.loads(path.read_text())["format"] == "ntkspec-report"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


def test_json_to_a_device(small: Report) -> None:
    write_json_file(small, Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_json_to_a_pipe(small: Report) -> None:
    """By such a name as /dev/stdout, whose link leads to no path."""
    reader, writer = os.pipe()
    with open(reader, "rb") as end, ThreadPoolExecutor() as others:
        received = others.submit(end.read)
        try:
            write_json_file(small, f"/dev/fd/{writer}")
        finally:
            os.close(writer)
        assert json.loads(received.result())["format"] == "ntkspec-report"


def test_json_fills_an_empty_file(small: Report, tmp_path: Path) -> None:
    """Such as `mktemp` makes."""
    path = tmp_path / "empty.json"
    path.touch()
    write_json_file(small, path)
    assert path.stat().st_size > 100
