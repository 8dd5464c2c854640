"""Alignment in a report: when it is computed and why not, read back, in tables, words and the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cases
import numpy as np
import pytest
import runs

import ntkspec
from ntkspec.analyze import analyze_runs, main
from ntkspec.commands.cli import Parser
from ntkspec.commands.run_options import add_settings, settings_of
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.report import words
from ntkspec.report.canvas import to_bytes
from ntkspec.report.figures import alignment
from ntkspec.report.records import NOT_ASKED, Report, SnapshotReport
from ntkspec.report.style import styled_runs
from ntkspec.report.to_csv import write_snapshots_csv
from ntkspec.runs import settings as run_settings
from ntkspec.runs import snapshot as snapshot_analysis
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.spectral.alignment import Alignment

from . import samples
from .shown import rows


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write_run(tmp_path_factory.mktemp("runs") / "run.h5", cases.mixed(12))


def last(path: Path, **asked: object) -> SnapshotReport:
    settings = RunSettings(backend="cpu", snapshot="end", **asked)
    return analyze_run(path, settings).snapshots[-1]


def test_a_report_says_what_the_function_says(run_file: Path) -> None:
    snap = last(run_file)
    with ntkspec.open_run(run_file) as run:
        assert run.targets is not None
        end = run.snapshot("end")
        found = ntkspec.alignment(end.jacobian, run.targets, end.outputs, backend="cpu")
    said = snap.alignments["total"]
    assert list(snap.alignments) == ["total"]
    assert snap.no_alignment == ""
    assert np.array_equal(said.target, found.target)
    assert said.residual is not None
    assert np.array_equal(said.residual, found.residual)
    assert said.kernel_target == found.kernel_target
    assert said.spectrum.eigenvalues is snap.spectra["total"].eigenvalues
    assert all(spectrum.vectors is None for spectrum in snap.spectra.values())


@pytest.mark.parametrize("outputs", ["full", 1])
def test_some_of_the_samples_in_other_output_modes(run_file: Path, outputs: object) -> None:
    said = last(run_file, outputs=outputs, samples=7, seed=3).alignments["total"]
    numbers = run_settings.draw(12, RunSettings(samples=7, seed=3))
    with ntkspec.open_run(run_file) as run:
        assert run.targets is not None
        end = run.snapshot("end")
        jacobian, targets = end.jacobian.rows(numbers), run.targets[numbers]
        found = ntkspec.alignment(jacobian, targets, end.outputs[numbers], outputs, backend="cpu")
    assert said.size == (14 if outputs == "full" else 7)
    assert said.target == pytest.approx(found.target, rel=1e-3)


def test_why_there_is_none(run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each; what is asked for nevertheless is computed or refused."""
    assert last(run_file, alignment="never").no_alignment == NOT_ASKED
    assert last(run_file, method="dual").no_alignment == "method dual gives no eigenvectors"
    wide = runs.write_run(
        tmp_path / "wide.h5", cases.prescribed(np.arange(5.0, 0, -1), 5).rows(np.arange(200) % 5)
    )
    memory = 3 * 8 * 200**2 / 2**30  # three kernels: eigenvectors take a fourth
    assert "more than the memory budget" in last(wide, memory=memory, method="gram").no_alignment
    with pytest.raises(MemoryBudgetError):
        last(wide, alignment="always", method="gram", memory=memory)
    monkeypatch.setattr(snapshot_analysis, "MOST_MODES", 11)
    snap = last(run_file)
    assert "of 12 modes, more than 11, eigenvectors take long" in snap.no_alignment
    assert not snap.alignments
    assert last(run_file, alignment="always").alignments
    with pytest.raises(UsageError, match="method auto or gram or svd or lanczos"):
        RunSettings(alignment="always", method="dual")
    with pytest.raises(UsageError, match="auto, always, never"):
        RunSettings(alignment="sometimes")
    bare = tmp_path / "bare.h5"
    for targets in (None, np.ones((12, 2))):
        with runs.RunWriter(bare, inputs=np.zeros((12, 2)), targets=targets, overwrite=True) as run:
            with run.snapshot("end", step=1, label="end") as snapshot:
                snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
        reason = last(bare, alignment="always").no_alignment
        assert reason == "the run file has no targets" or reason.endswith("got the same at every sample")


def test_the_command_line(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_file), "--alignment", "always", "--method", "cholesky"]) == 2
    assert "--alignment always: expected method auto or gram or svd or lanczos" in capsys.readouterr().err
    options = Parser(description="a command")
    add_settings(options)
    assert settings_of(options.parse_args([])) == RunSettings()
    assert settings_of(options.parse_args(["--alignment", "never"])).alignment == "never"


def aligned(total: Alignment, label: str = "a run") -> Report:
    """A report of one run with this alignment at its end."""
    run = samples.plain_run(label, 9, 0.5, size=total.size)
    end = replace(run.snapshots[-1], spectra={"total": total.spectrum}, alignments={"total": total})
    return samples.one_run(replace(run, snapshots=(*run.snapshots[:-1], end)))


def shares(target: list[float], rest: float = 0.0, size: int | None = None, floor: float = 1e-9) -> Alignment:
    """An alignment of well separated modes; the residual has the same shares."""
    values, known = np.geomspace(10, 1, len(target)), len(target)
    size = size or known
    spectrum = samples.spectrum(np.append(values, np.zeros(size - known)), floor)
    return Alignment(spectrum, np.array(target), rest, 0.25, np.array(target), rest)


FEW, MANY = shares([0.6, 0.3, 0.1]), shares([0.5, 0.3], 0.2, size=1024, floor=1e-2)


def test_the_table_has_it(run_file: Path) -> None:
    report = analyze_runs([run_file], backend="cpu", alignment="auto")
    for row in rows(write_snapshots_csv, report):
        snap = report.runs[0].snapshots[row["snapshot"] == "end"]
        if found := snap.alignments.get(row["spectrum"]):
            assert float(row["modes_for_90_percent"]) == found.modes()
            assert float(row["share_beyond_128_modes"]) == 0
            assert float(row["kernel_target_alignment"]) == found.kernel_target
        else:
            assert row["modes_for_90_percent"] == row["kernel_target_alignment"] == ""


def test_words() -> None:
    assert words.alignment(FEW, "the picture") == "2 of its 3 modes hold 90% of the picture"
    assert words.alignment(shares([0.9, 0.1]), "it") == "1 of its 2 modes holds 90% of it"
    assert words.alignment(MANY, "the targets") == (
        "more than 2 of its 1,024 modes hold 90% of the targets; the rest is not resolved"
    )
    top = replace(MANY, spectrum=replace(MANY.spectrum.largest(2), size=1024))
    assert words.alignment(top, "it").endswith("; the rest is not computed")
    assert [words.modes(found) for found in (FEW, MANY)] == ["2", "> 2"]


def test_targets_in_the_first_mode_alone() -> None:
    """Nothing is left to draw beyond it, and the panel says so, until a curve comes."""
    one = shares([1.0, 0.0], 0.0, size=2)
    figure = alignment.draw(aligned(one))
    assert figure is not None
    outside = figure.axes[0]
    assert [note.get_text() for note in outside.texts] == ["every share is below 1e-06"]
    assert outside.get_ylim() == pytest.approx((1e-6, 1.3))
    alignment.draw_outside(outside, styled_runs(aligned(FEW))[0], FEW, "")
    alignment.finish_shares(outside, "", "")
    assert not outside.texts
    assert to_bytes(figure, "png")


def test_the_figure() -> None:
    """Drawn where some run has modes; a cross where the rest is not resolved, a band of what is not known."""
    report = aligned(FEW)
    both = replace(report, runs=(report.runs[0], aligned(MANY, "other").runs[0]))
    assert alignment.draw(samples.six_runs(size=8)) is None
    assert alignment.draw(aligned(shares([0.0], 1.0, size=4))) is not None
    zero = samples.spectrum(np.zeros(4), 0.0)
    assert alignment.draw(aligned(Alignment(zero, np.zeros(0), 1.0))) is None
    for drawn, crosses in ((report, 0), (both, 1)):
        figure = alignment.draw(drawn)
        assert figure is not None
        outside, over_time = figure.axes
        lines = [line for line in outside.lines if line.get_marker() != "x"]
        assert len(outside.lines) - len(lines) == crosses
        assert np.asarray(lines[0].get_ydata()) == pytest.approx([0.4, 0.1])
        assert len(over_time.collections) == len(drawn.runs)
    assert b"<svg" in to_bytes(figure, "svg")
    low = np.asarray(over_time.collections[-1].get_paths()[0].vertices)[:, 1].min()
    assert low < 0.01
    assert 0.2 <= np.asarray(over_time.lines[-1].get_ydata())[-1] < 0.21
