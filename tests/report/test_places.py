"""Outputs that would be in each other's way are refused before any work; what killed runs left is removed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import cases
import h5py
import numpy as np
import pytest
import runs

from ntkspec._io import beside, hidden_folder, locked, try_folder
from ntkspec.analyze import analyze_runs, main
from ntkspec.errors import NtkspecError, OutputError, UsageError
from ntkspec.jacobian import Jacobian

LONG = "x" * 256


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None) -> Path:
    """A folder with a run in it and one in a folder of its own; reports have no figures and an empty page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ntkspec.report.page.render_page", lambda report, figures: "")
    runs.write_run(tmp_path / "run.h5", steps=(1,))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/only.h5").write_bytes((tmp_path / "run.h5").read_bytes())
    (tmp_path / "link.h5").symlink_to("in/only.h5")
    (tmp_path / "file").write_text("mine")
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "rep", "--kernels", "rep"], ["-o", "rep", "--kernels", "rep/k"],
        ["-o", "rep", "--kernels", "./rep/."],
        ["-o", "rep", "--json", "rep"], ["-o", "a/rep", "--json", "a"], ["--kernels", "k", "--json", "k"],
        ["--kernels", "a/k", "--json", "a"], ["-o", "rep", "--json", "rep/index.html"],
        ["-o", "rep", "--json", "rep/figures/x.json"], ["-o", "rep", "--json", "rep/notes.txt"],
        ["--json", "run.h5"], ["--json", "link.h5"], ["-o", "in"], ["-o", "."], ["-o", ".."],
        ["-o", "file/rep"],
        ["-o", LONG], ["--json", LONG], ["--kernels", LONG], ["--kernels", "file"], ["--kernels", "file/k"],
        ["-o", "/proc/rep"], ["--kernels", "/proc/k"], ["--json", "/proc/x.json"], ["--kernels", "."],
        ["--kernels", "in", "--json", "in/run-end.h5"],
    ],
    ids=lambda words: " ".join(words)[:40],
)  # fmt: skip
def test_refused_before_any_work(words, here, monkeypatch, capsys):
    with h5py.File(here / "run-end.h5", "w"):  # in the way of --kernels .
        pass
    monkeypatch.setattr("ntkspec.runs.snapshot.solve_all", None)  # whoever gets there fails otherwise
    before = tree(here)
    assert main(["run.h5", "link.h5", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert tree(here) == before


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "rep", "--json", "rep/x.json"], ["-o", "rep", "--json", "rep/report.json"],
        ["-o", "k/rep", "--kernels", "k"], ["-o", "é" * 120], ["--kernels", "k", "--json", "x.json"],
        ["-o", os.fsdecode(b"caf\xe9")],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode()[:40],
)  # fmt: skip
def test_accepted_again_and_again(words, here, capsys):
    for _ in range(2):
        assert main(["run.h5", "-q", *words]) == 0, capsys.readouterr().err
    if "--json" in words:
        assert json.loads(Path(words[words.index("--json") + 1]).read_text())["format"] == "ntkspec-report"
    if "-o" in words:  # and without the further file, which is not lost by that
        further = sorted(Path(words[words.index("-o") + 1]).glob("*"))
        assert main(["run.h5", "-q", "-o", words[words.index("-o") + 1]]) == 0
        assert sorted(Path(words[words.index("-o") + 1]).glob("*")) == further
    assert not list(here.rglob(".*"))


def test_kernels_of_runs_that_share_a_name(tmp_path):
    """`a` with snapshot b-c, `a-b` with snapshot c."""
    for stem, id in (("a", "b-c"), ("a-b", "c")):
        with runs.RunWriter(tmp_path / f"{stem}.h5", inputs=np.zeros((12, 1))) as run:
            with run.snapshot(id, step=1, label="end") as snapshot:
                snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
    with pytest.raises(UsageError, match="different names"):
        analyze_runs([tmp_path / "a.h5", tmp_path / "a-b.h5"], kernels=tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_a_failure_takes_the_folder_for_kernels_away(here):
    for words in ({"memory": 1e-9}, {"drop": [["nothing"]]}, {"outputs": 7}, {"k": 999}):
        with pytest.raises(NtkspecError):
            analyze_runs(["run.h5"], kernels=here / "new/k", **words)
        assert not (here / "new").exists() or os.listdir(here / "new/k")


def test_roles_that_cannot_be_names_in_a_file(here):
    roles = ["network", ".", "..", "a/b", "a|b", "total", "Total"]
    blocks = [
        cases.block(f"b{i}", None, cases.dense(np.random.default_rng(i), 6, 1, 4), 6, 1, role, i)
        for i, role in enumerate(roles)
    ]
    runs.write_run(here / "roles.h5", Jacobian(tuple(blocks)), steps=(1,))
    report = analyze_runs(["roles.h5"], kernels="k")
    with h5py.File("k/roles-end.h5") as file:
        assert len(file["kernels"]) == len(report.runs[0].snapshots[0].spectra) == len(roles)
        assert {"total", "a|b", "a|b #2", "role .", "role .."} <= set(file["kernels"])


def leftovers(here: Path) -> list[str]:
    return sorted(path.name for path in here.iterdir() if path.name.startswith("."))


def test_what_a_killed_run_left_is_removed_by_the_next(here, monkeypatch):
    with monkeypatch.context() as slow:
        slow.setattr("ntkspec.report.page.render_page", lambda *_: time.sleep(60))
        child = os.fork()
        if child == 0:
            main(["run.h5", "-q", "-o", "rep"])
            os._exit(1)
        while not list(here.glob(".rep.*.part/spectra.csv")):
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(leftovers(here)) == 1
    assert main(["run.h5", "-q", "-o", "rep"]) == 0
    assert leftovers(here) == []


def test_only_what_is_ours_and_nobody_holds_is_removed(here):
    def folder(name: str, *files: str) -> None:
        for file in files:
            path = here / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{")

    folder(".rep.0123abcd.part", "report.json", "figures/spectra.png")
    folder(".rep.0123abcd.old", "report.json", "x.json", "index.html")
    folder(".rep.11111111.part", "thesis.tex")
    folder(".rep.notours.part", "report.json")
    folder(".other.0123abcd.part", "report.json")
    (here / ".rep.22222222.part").symlink_to("in")
    (here / ".x.json.0123abcd.part").touch()
    (here / ".x.json.33333333.part").write_text("my notes")
    stays = [
        ".other.0123abcd.part", ".rep.11111111.part", ".rep.22222222.part", ".rep.notours.part",
        ".x.json.33333333.part",
    ]  # fmt: skip
    with hidden_folder(here / "rep") as part:  # of another run that is at work
        assert main(["run.h5", "-q", "-o", "rep", "--json", "x.json"]) == 0
        assert leftovers(here) == sorted([*stays, part.name])
    assert leftovers(here) == stays


def test_a_place_is_held_by_one(tmp_path):
    with locked(tmp_path) as first, locked(tmp_path) as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / "absent") as nothing:
        assert not nothing


def test_hidden_names_fit_wherever_the_name_fits():
    for name in ("x" * 255, "é" * 127, "😀" * 63, os.fsdecode(b"\xff" * 255)):
        assert len(os.fsencode(beside(Path("/a") / name, "part").name)) <= 120


def test_an_interruption_leaves_no_folder_that_was_tried_out(tmp_path, monkeypatch):
    usual = Path.mkdir

    def interrupted(self, *words):
        usual(self, *words)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        try_folder(tmp_path, ".run.h5.")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_room(here, monkeypatch):
    """Who may write is tried out: root may anywhere, as `os.access` says, but not on a read-only disk."""

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("ntkspec.report.folders.try_folder", refuse)
    for option in ("-o", "--json", "--kernels"):
        assert main(["run.h5", option, "new"]) == 2
    with pytest.raises(OutputError, match="Read-only file system"):
        analyze_runs(["run.h5"], kernels="k")
