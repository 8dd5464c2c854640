"""Recorder: a label is given to an earlier snapshot only if the model still computes what that one holds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ntkspec import open_run
from ntkspec.export import ExportWarning, Recorder, jacobian

X = torch.rand(12, 2, generator=torch.Generator().manual_seed(1))


class Field(nn.Module):
    """A field with switches that are neither parameters nor buffers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last = nn.Linear(2, 6), nn.Linear(6, 1)
        self.scale, self.cut, self.blind = 1.0, False, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(not self.blind):
            h = torch.tanh(self.first(x))
        out: torch.Tensor = self.scale * self.last(h.detach() if self.cut else h)
        return out


def step_on(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1


def test_a_label_for_a_step_that_was_recorded(tmp_path: Path) -> None:
    model = Field()
    with warnings.catch_warnings(), Recorder(tmp_path / "run.h5", X, 1) as record:
        warnings.simplefilter("error", ExportWarning)  # the same step again is no step back
        record(model, 0)
        assert record(model, 0, label="start", metrics={"psnr_db": np.float32(2.5)})
        record(model, 1, metrics={"loss": torch.tensor(0.25, requires_grad=True)})
        record(model, 1, label="end", metrics={"psnr_db": 3})
        assert not record(model, 1, label="")  # as without a label
        assert record.snapshots == ("init", "step 1")
        step_on(model)
        record(model, 1, label="later")  # other weights: another snapshot
    with open_run(tmp_path / "run.h5", trial=True) as run:
        run.check_values()
        assert [(snap.step, snap.label) for snap in run.snapshots] == [(0, "start"), (1, "later"), (1, "end")]
        assert run.snapshot("end").metrics == {"loss": 0.25, "psnr_db": 3.0}
        assert run.snapshot("start").metrics == {"psnr_db": 2.5}


@pytest.mark.parametrize(
    ("name", "value"), [("scale", 1 + 1e-12), ("cut", True), ("blind", True), ("first.bias", False)]
)
def test_a_change_that_no_weight_shows_makes_another_snapshot(tmp_path: Path, name: str, value: Any) -> None:
    model = Field()
    before = jacobian(model, X)
    with Recorder(tmp_path / "run.h5", X, 1) as record:
        record(model, 0)
        if name == "first.bias":
            model.first.bias.requires_grad_(value)
        else:
            setattr(model, name, value)
        assert record(model, 0, label="other")
        assert record(model, 0, label="again")
    after = jacobian(model, X)
    with open_run(tmp_path / "run.h5") as run:
        assert {snap.label for snap in run} == {"init", "again"}
        for label, known in (("init", before), ("again", after)):
            found = run[label].jacobian
            assert found.names == known.names
            np.testing.assert_array_equal(found.load().to_dense(), known.to_dense())


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_same_model_is_not_recorded_twice(tmp_path: Path, precision: Any) -> None:
    logged: list[int] = []
    path = tmp_path / "run.h5"
    with Recorder(path, X, 1, precision=precision, log=lambda _, step: logged.append(step)) as record:
        for label in ("init", "again", "again"):
            record(Field(), 3, label=label)
        size = path.with_name("run.h5.part").stat().st_size
    assert logged == [3]  # the curve has one point a snapshot
    assert path.stat().st_size < size  # and the file no more room than for one
    with open_run(path) as run:
        assert [(snap.id, snap.label) for snap in run] == [("init", "again")]


def test_a_step_that_a_resumed_file_has_gets_the_label(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Recorder(tmp_path / "run.h5", X, 10) as record:
        record(Field(), 20, metrics={"loss": 1})
        raise KeyError
    with Recorder(tmp_path / "run.h5", X, 10, resume=True) as record:
        assert record(Field(), 20, label="end")
    with open_run(tmp_path / "run.h5") as run:
        assert [(snap.step, snap.label, dict(snap.metrics)) for snap in run] == [(20, "end", {"loss": 1})]
