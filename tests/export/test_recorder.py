"""Recorder: snapshots while a model trains, which leaves the training as it would have been without it."""

from __future__ import annotations

import errno
import math
import shutil
import warnings
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ntkspec import analyze, kernel_distance, open_run, read_report, spectrum
from ntkspec.errors import ExportError, OutputError, UsageError
from ntkspec.export import ExportWarning, Recorder, RunExporter, jacobian
from ntkspec.export.logged import finite
from ntkspec.export.schedule import Schedule

X = torch.rand(12, 2, generator=torch.Generator().manual_seed(1))


def field(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(3)
    middle = [nn.BatchNorm1d(6), nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.Linear(2, 6), *middle, nn.Tanh(), nn.Linear(6, 1))


def train(model: nn.Module, steps: int, record: Any = None) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    model.train()
    for step in range(steps):
        if record is not None:
            record(model, step)
        optimizer.zero_grad()
        (model(X) - X[:, :1].sin()).square().mean().backward()
        optimizer.step()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (3, [0, 3, 6, 7]),
        ([2, 5], [0, 2, 5, 7]),
        (range(0, 100, 4), [0, 4, 7]),
        (np.geomspace(1, 4, 3).astype(int), [0, 1, 2, 4, 7]),
    ],
)
def test_due_steps_are_recorded_as_the_model_is_then(tmp_path: Path, every: Any, steps: list[int]) -> None:
    kept: dict[int, torch.Tensor] = {}

    def loop(model: nn.Module, step: int) -> None:
        if record(model, step):
            kept[step] = torch.as_tensor(jacobian(model, X).to_dense())

    model = field()
    with Recorder(tmp_path / "run.h5", X, every, targets=X[:, :1], label="L") as record:
        train(model, 7, loop)
        loop_end = record(model, 7, label="end")
    assert loop_end
    with open_run(tmp_path / "run.h5") as run:
        assert run.complete
        assert run.warnings == ()
        assert [snap.step for snap in run.snapshots] == steps
        assert [snap.label for snap in run.snapshots] == ["init", *(f"step {s}" for s in steps[1:-1]), "end"]
        for snap in run.snapshots[:-1]:
            np.testing.assert_array_equal(snap.jacobian.load().to_dense(), kept[snap.step])


def test_the_training_is_that_without_a_recorder(tmp_path: Path) -> None:
    alone, recorded = field(0.5), field(0.5)
    torch.manual_seed(5)
    train(alone, 6)
    after = torch.get_rng_state()
    torch.manual_seed(5)
    with Recorder(tmp_path / "run.h5", X, 2, log=lambda values, step: None) as record:
        with pytest.warns(ExportWarning, match="in eval mode") as told:
            train(recorded, 6, record)
    assert len(told) == 1  # not once for each snapshot
    assert torch.equal(weights(alone), weights(recorded))
    assert torch.equal(after, torch.get_rng_state())
    assert recorded.training
    assert all(
        torch.equal(a.grad, b.grad) for a, b in zip(alone.parameters(), recorded.parameters(), strict=True)
    )


def test_calls_in_jumps_and_calls_that_are_not_due() -> None:
    hundreds, listed = Schedule.of(100), Schedule.of([5, 10, 10, 40])
    assert [step for step in (0, 64, 128, 192, 256, 320) if hundreds.due(step, step - 64)] == [
        0,
        128,
        256,
        320,
    ]
    assert Schedule.of(np.array(100)) == Schedule.of(torch.tensor(100)) == hundreds
    assert hundreds.count(0) is None
    assert [listed.count(first) for first in (0, 5, 6, 40, 99)] == [4, 3, 3, 1, 1]
    for every in (0, -1, True, 2.5, "10", None, [1.5], [-1], [], np.array([], int)):
        with pytest.raises(UsageError, match="every"):
            Schedule.of(every)


def test_between_due_steps_the_model_is_not_looked_at(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5", X, 10) as record:
        record(field(), 0)
        assert not record(None, 9, metrics=None)
        assert (record.due(9), record.due(10)) == (False, True)


def test_metrics_that_are_no_numbers_do_not_lose_the_snapshot(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5", X, 1) as record:
        with pytest.warns(ExportWarning, match="metric [ab] is left out: no finite number") as told:
            record(field(), 0, metrics={"a": float("nan"), "b": 10**400, "psnr_db": np.array([30])})
    assert [warning.filename for warning in told] == [__file__] * 2
    with open_run(tmp_path / "run.h5") as run:
        assert run.snapshot("init").metrics == {"psnr_db": 30.0}


def test_an_infinite_psnr_is_stored_and_touches_no_other_metric(tmp_path: Path) -> None:
    given = {"psnr_db": math.inf, "mse": 3e-5, "psnr_db_held_out": torch.tensor(math.inf)}
    with Recorder(tmp_path / "run.h5", X, 1) as record:
        record(field(), 0, metrics=given)
    with open_run(tmp_path / "run.h5") as run:
        assert run["init"].metrics == {"psnr_db_infinite": 1, "mse": 3e-5, "psnr_db_held_out_infinite": 1}


def test_a_given_number_is_not_overwritten() -> None:
    given = {"psnr_db": math.inf, "psnr_db_infinite": 0.0}
    assert finite(given) == ({"psnr_db_infinite": 0.0}, ["metric psnr_db is left out: no finite number"])


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (30.0, math.inf, {"psnr_db_infinite": 1.0}),
        (math.inf, 30.0, {"psnr_db": 30.0}),
        (30.0, None, {"psnr_db": 30.0}),
        (math.inf, None, {"psnr_db_infinite": 1.0}),
    ],
)
def test_of_two_calls_at_a_step_the_later_one_has_the_psnr(
    tmp_path: Path, first: float, then: float | None, kept: dict[str, float]
) -> None:
    model = field()
    with Recorder(tmp_path / "run.h5", X, 1) as record:
        record(model, 0, metrics={"psnr_db": first})
        record(
            model, 0, label="end", metrics={"loss": 0.1} if then is None else {"loss": 0.1, "psnr_db": then}
        )
    with open_run(tmp_path / "run.h5") as run:
        assert [dict(snapshot.metrics) for snapshot in run] == [{**kept, "loss": 0.1}]


def test_the_log_gets_the_numbers_of_the_kernel(tmp_path: Path) -> None:
    seen: dict[int, dict[str, float]] = {}
    with Recorder(tmp_path / "run.h5", X, 4, log=lambda values, step: seen.update({step: values})) as record:
        train(field(), 6, record)
    with open_run(tmp_path / "run.h5") as run:
        first, now = (run.snapshot(step).jacobian for step in (0, 4))
        known = spectrum(now)
        assert seen[4]["ntk/lambda_max"] == known.lambda_max
        assert seen[4]["ntk/lambda_min"] == known.lambda_min
        assert seen[4]["ntk/resolved"] == known.resolved == 12
        assert seen[4]["ntk/effective_rank"] == known.effective_rank
        assert seen[4]["ntk/kernel_distance"] == pytest.approx(kernel_distance(first, now), rel=1e-9)
    assert list(seen) == [0, 4]
    assert seen[0]["ntk/kernel_distance"] == 0
    assert all(values["ntk/seconds"] > 0 for values in seen.values())
    assert "ntk/lambda_min_at_most" not in seen[4]


def test_an_unresolved_eigenvalue_is_logged_as_a_bound(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    narrow = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.linspace(0, 1e-3, 12)
    with Recorder(tmp_path / "run.h5", x, 1, log=lambda values, step: seen.append(values)) as record:
        record(narrow, 0)
    with open_run(tmp_path / "run.h5") as run:
        assert seen[0]["ntk/lambda_min_at_most"] == spectrum(run.snapshot(0).jacobian).smallest_at_most
    assert "ntk/lambda_min" not in seen[0]


def test_a_kernel_that_is_zero_is_logged_as_zero(tmp_path: Path) -> None:
    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * 0 * x[:, :1]

    seen: list[dict[str, float]] = []
    with Recorder(tmp_path / "run.h5", X, 1, log=lambda values, step: seen.append(values)) as record:
        record(Zero(), 0)
    del seen[0]["ntk/seconds"]
    assert seen == [{"ntk/lambda_max": 0, "ntk/lambda_min": 0, "ntk/resolved": 0}]


def test_what_the_log_takes_is_said_after_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter((100, 120, 150, 151))  # begun, written, computed, logged
    monkeypatch.setattr("ntkspec.export.recorder.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    seen: list[float] = []
    said: list[str] = []
    with Recorder(
        tmp_path / "run.h5", X, 1, log=lambda values, _: seen.append(values["ntk/seconds"]), say=said.append
    ) as record:
        record(field(), 0)
    assert seen == [50]
    assert said[0].endswith("which is not estimated: the eigenvalues of a kernel of 1.12 KiB, on the CPU")
    assert said[1:] == ["step 0 recorded in 20 s, and 31 s more for log="]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_training_keeps_the_snapshots(tmp_path: Path, kind: type[BaseException]) -> None:
    path, model = tmp_path / "run.h5", field()

    def fails() -> None:
        with Recorder(path, X, 1) as record:
            train(model, 2, record)
            raise kind

    with pytest.raises(kind):
        fails()
    with open_run(path, trial=True) as run:
        run.check_values()
        assert [snap.label for snap in run.snapshots] == ["init", "step 1"]
        (warning,) = run.warnings
        assert "the export was interrupted; all its snapshots are complete" in warning
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="one that exists"):
        Recorder(path, X, 1)
    with pytest.raises(UsageError, match="the inputs, targets and indices of this run, got others"):
        Recorder(path, X + 1, 1, resume=True)
    assert list(tmp_path.iterdir()) == [path]
    with Recorder(path, X, 1, resume=True) as record:  # the training begins again at step 1
        assert [record(model, step) for step in (1, 2)] == [False, True]
    with open_run(path) as run:
        assert run.warnings == ()
        assert [snap.step for snap in run.snapshots] == [0, 1, 2]
    with pytest.raises(OutputError, match="one that is finished, with nothing to resume"):
        Recorder(path, X, 1, resume=True)


def test_what_a_resumed_file_keeps_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    first = Recorder(path, X, 1, label="a", config={"lr": 1, "net": {"a": 1, "b": 2}})
    first(field(), 0)
    first.close(interrupted=True)
    with pytest.raises(UsageError, match="config: expected a mapping that JSON can hold"):
        Recorder(path, X, 1, resume=True, config={"lr": object()})
    with warnings.catch_warnings(), pytest.raises(ExportWarning, match="label"):
        warnings.simplefilter("error", ExportWarning)
        Recorder(path, X, 1, resume=True, label="b")
    assert list(tmp_path.iterdir()) == [path]  # the file has its name again
    now = {"net": {"b": 2, "a": 1}, "lr": 2}
    with pytest.warns(ExportWarning) as told:
        record = Recorder(path, X, 1, resume=True, label="b", config=now, precision="float32")
    assert [str(warning.message) for warning in told] == [
        "label: the file that is resumed keeps 'a', not 'b'",
        "config, lr: the file that is resumed keeps 1, not 2",
    ]
    assert {warning.filename for warning in told} == {__file__}
    with record:
        with pytest.raises(ExportError, match=r"model: expected 1 output, as in the snapshots .* got 3"):
            record(nn.Linear(2, 3), 1)
        with pytest.warns(ExportWarning, match="^stored as float32, though the snapshots before it are"):
            record(field(), 2)
    with open_run(path) as run:
        assert (run.label, run.config) == ("a", {"lr": 1, "net": {"a": 1, "b": 2}})
        assert [snap.step for snap in run.snapshots] == [0, 2]


def test_an_exception_before_the_first_snapshot_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with Recorder(tmp_path / "run.h5", X, 1):
            raise ZeroDivisionError
    with pytest.warns(ExportWarning, match="nothing was recorded") as told:
        Recorder(tmp_path / "run.h5", X, 1).close()
    assert [warning.filename for warning in told] == [__file__]
    assert not list(tmp_path.iterdir())


def test_the_first_snapshot_raises_and_later_ones_warn(tmp_path: Path) -> None:
    diverged = field()
    with torch.no_grad():
        diverged[0].weight[0, 0] = torch.nan
    with Recorder(tmp_path / "run.h5", X, 1) as record:
        with pytest.raises(ExportError, match="finite"):
            record(diverged, 0)
        record(field(), 0)  # still the first
        with pytest.warns(ExportWarning, match=r"^step 1: it was not recorded: parameter 0.weight: .*NaN"):
            assert not record(diverged, 1)
        with pytest.warns(ExportWarning, match="^step 2: it was not recorded"):
            record(diverged, 2)
        with warnings.catch_warnings(), pytest.raises(ExportWarning, match="step 3"):
            warnings.simplefilter("error", ExportWarning)
            record(diverged, 3)
        record(field(), 4)
        assert record.snapshots == ("init", "step 4")
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()


def test_mistakes_of_the_caller_are_errors_at_once(tmp_path: Path) -> None:
    for name, wrong in (("log", 5), ("say", "print"), ("config", np.zeros(2))):
        with pytest.raises(UsageError, match=f"{name}: expected a "):
            Recorder(tmp_path / "run.h5", X, 10, **{name: wrong})
        if name != "log":
            with (
                pytest.raises(UsageError, match=f"{name}: expected a "),
                RunExporter(tmp_path / "run.h5", inputs=X, **{name: wrong}),
            ):
                pass
    assert not list(tmp_path.iterdir())
    with Recorder(tmp_path / "silent.h5", X, 10, say=None) as record:
        record(field(), 0)
    with Recorder(tmp_path / "run.h5", X, 10) as record:
        record(field(), 0)
        for wrong in ({"label": 5}, {"metrics": [0.5]}, {"step": 1.5}):
            with pytest.raises(UsageError, match=next(iter(wrong))):
                record(**{"model": field(), "step": 10, **wrong})
        with pytest.raises(UsageError, match="step"):
            record.due(2.5)
        assert repr(record) == f"Recorder('{tmp_path / 'run.h5'}', 1 snapshot)"
    assert record.snapshots == ("init",)
    assert repr(record) == f"Recorder('{tmp_path / 'run.h5'}', 1 snapshot, closed)"
    for use in (lambda: record(field(), 5), lambda: record.due(5)):
        with pytest.raises(UsageError, match="Recorder: expected to be used before it is closed"):
            use()


def test_a_disk_that_fills_up_loses_one_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Recorder(tmp_path / "run.h5", X, 1) as record:
        record(field(), 0)
        with monkeypatch.context() as patch:
            patch.setattr("ntkspec.store.snapshot_writer.reserve", full)
            with pytest.warns(ExportWarning, match=r"step 1: it was not recorded: .*No space left on device"):
                record(field(), 1)
        record(field(), 2)
    with open_run(tmp_path / "run.h5", trial=True) as run:
        run.check_values()
        assert [snap.step for snap in run.snapshots] == [0, 2]
        assert run.warnings == ()


def test_a_disk_that_is_full_at_the_end_can_be_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    record = Recorder(tmp_path / "run.h5", X, 1)
    record(field(), 0)
    with monkeypatch.context() as patch:
        patch.setattr("ntkspec.store.writer.wait_for_disk", full)
        with pytest.raises(OutputError, match="No space left on device"):
            record.close()
    with pytest.raises(UsageError, match="to be used before it is closed"):
        record(field(), 1)
    assert not (tmp_path / "run.h5").exists()
    for _ in range(2):
        record.close()
    assert record.snapshots == ("init",)
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
        assert run.complete


def test_ctrl_c_inside_of_hdf5_ends_the_training(tmp_path: Path) -> None:
    """Which h5py turns into a SystemError where HDF5 calls it back."""

    def log(values: dict[str, float], step: int) -> None:
        if step:
            raise SystemError("returned a result with an exception set") from KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path / "run.h5", X, 1, log=log) as record:
        record(field(), 0)
        record(field(), 1)
    with open_run(tmp_path / "run.h5") as run:
        assert "interrupted" in run.warnings[0]


def test_a_log_that_fails(tmp_path: Path) -> None:
    def log(values: dict[str, float], step: int) -> None:
        raise ConnectionError("no route to host")

    with Recorder(tmp_path / "run.h5", X, 1, log=log) as record:
        with pytest.raises(ConnectionError):
            record(field(), 0)
    with open_run(tmp_path / "run.h5") as run:
        assert len(run.snapshots) == 1  # it was complete

    calls: list[int] = []

    def tired(values: dict[str, float], step: int) -> None:
        calls.append(step)
        if step:
            log(values, step)

    with Recorder(tmp_path / "tired.h5", X, 1, log=tired) as record:
        record(field(), 0)
        with pytest.warns(ExportWarning, match="step 1: its numbers were not logged: no route to host"):
            assert record(field(), 1)
        assert record(field(), 1, label="end")  # its numbers are still to be logged
        assert record.snapshots == ("init", "step 1")
    assert calls == [0, 1, 1]


def test_steps_counted_anew_in_each_epoch_are_told(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5", X, 10) as record:
        record(field(), 0)
        record(field(), 12)
        with pytest.warns(ExportWarning, match=r"step 0 came after one of step 12.*through all epochs"):
            assert not record(field(), 0)
        with pytest.raises(UsageError, match="step"):
            record(field(), 1.5)


def test_a_killed_recorder_leaves_its_snapshots(tmp_path: Path) -> None:
    """What a process that is killed leaves is what lies on the disk between two calls."""
    path = tmp_path / "run.h5"
    record = Recorder(path, X, 2)
    record(field(), 0)
    record(field(), 2)
    shutil.copy(tmp_path / "run.h5.part", tmp_path / "killed.h5.part")
    record.close()
    with open_run(tmp_path / "killed.h5.part") as run:
        assert [snap.step for snap in run.snapshots] == [0, 2]
    with Recorder(tmp_path / "killed.h5", X, 2, resume=True) as record:
        assert [record(field(), step) for step in (1, 2, 3, 4)] == [False, False, False, True]
    with open_run(tmp_path / "killed.h5") as run:
        assert [snap.step for snap in run.snapshots] == [0, 2, 4]


def test_what_it_will_take_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with Recorder(tmp_path / "run.h5", X, [0, 10, 20], say=said.append) as record:
        assert record.forecast is None
        record(field(), 0)
        assert record.forecast is not None
        record(field(), 1, label="end")
    assert record.forecast.bytes == 12 * 8 * (3 + 6 + 7 + 1)
    assert said[0].startswith("run.h5: 3 snapshots of 1.59 KiB, 4.78 KiB in all; each takes about ")
    assert [line.rsplit(" in ", 1)[0] for line in said[1:]] == ["step 0 recorded", "step 1 recorded"]
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2000))
    with Recorder(tmp_path / "full.h5", X, [0, 10], overwrite=True) as record:
        with pytest.warns(ExportWarning, match=r"full.h5 will take 3.19 KiB, and the disk has 1.95 KiB free"):
            record(field(), 0)
    with warnings.catch_warnings(), Recorder(tmp_path / "unknown.h5", X, 10) as record:
        warnings.simplefilter("error", ExportWarning)
        record(field(), 0)  # there is room for one, and how many there will be is not known


def test_a_recorded_training_is_reported_over_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ntkspec.report.figures.draw_all", lambda report: iter(()))
    seen: list[dict[str, float]] = []
    with Recorder(tmp_path / "run.h5", X, 10, log=lambda values, step: seen.append(values)) as record:
        model = field()
        train(model, 15, lambda model, step: record(model, step, metrics={"loss": 1 / (1 + step)}))
        record(model, 15, label="end")
    assert analyze.main([str(tmp_path / "run.h5"), "-o", str(tmp_path / "report"), "-q"]) == 0
    (run,) = read_report(tmp_path / "report/report.json").runs
    assert [(snap.step, snap.label) for snap in run.snapshots] == [(0, "init"), (10, "step 10"), (15, "end")]
    assert [snap.metrics.get("loss") for snap in run.snapshots] == [1, 1 / 11, None]
    totals = [snap.spectra["total"] for snap in run.snapshots]
    assert [total.lambda_max for total in totals] == [values["ntk/lambda_max"] for values in seen]
    assert all(total.lambda_min for total in totals)
    moved = [snap.distances["total"].value for snap in run.snapshots]
    assert moved == [values["ntk/kernel_distance"] for values in seen]


def test_a_resumed_training_that_begins_anew_is_noticed(tmp_path):
    with pytest.raises(KeyError), Recorder(tmp_path / "run.h5", X, 10) as record:
        record(field(), 30)
        raise KeyError
    with Recorder(tmp_path / "run.h5", X, 10, resume=True) as record:
        with pytest.warns(ExportWarning, match="a call of step 0 came after one of step 30"):
            assert not record(field(), 0)
