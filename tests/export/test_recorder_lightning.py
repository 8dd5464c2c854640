"""The callback of Lightning: with a stand-in for the package, and with the package where it is installed."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import needs
import numpy as np
import pytest
import torch
from torch import nn

from ntkspec import open_run
from ntkspec.errors import NotInstalledError

HOOKS = ("setup", "on_train_start", "on_train_batch_end", "on_train_end", "on_exception")
X = torch.rand(12, 2, generator=torch.Generator().manual_seed(1))


class StandIn:
    """Calls the hooks of a callback as a trainer does; the real package is tried by `make test-lightning`."""

    def __init__(self, callback: Any, is_global_zero: bool = True) -> None:
        self.callback, self.is_global_zero = callback, is_global_zero
        self.global_step, self.callback_metrics = 0, {"loss": torch.tensor(0.5)}

    def fit(self, module: nn.Module, steps: int, fails: bool = False) -> None:
        self.callbacks = [self.callback, "averages"]
        self.callback.setup(self, module, "fit")
        assert self.callbacks == ["averages", self.callback]
        self.callback.on_train_start(self, module)
        for number in range(steps):
            self.global_step += 1 - number % 2  # two batches make one step
            self.callback.on_train_batch_end(self, module, None, None, number)
        if fails:
            self.callback.on_exception(self, module, ZeroDivisionError())
        else:
            self.callback.on_train_end(self, module)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`ntkspec.export.lightning`, imported beside a stand-in for Lightning."""
    package = ModuleType("pytorch_lightning")
    package.Callback = type("Callback", (), {})
    monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", package)
    monkeypatch.delitem(sys.modules, "ntkspec.export.lightning", raising=False)
    import ntkspec.export.lightning as room

    yield room
    sys.modules.pop("ntkspec.export.lightning", None)


def test_hooks_of_a_trainer_record(room: Any, tmp_path: Path) -> None:
    module = SimpleNamespace(field=nn.Linear(2, 1))
    callback = room.RecorderCallback(tmp_path / "run.h5", X, 2, model=lambda module: module.field, label="L")
    assert isinstance(callback, sys.modules["pytorch_lightning"].Callback)
    StandIn(callback).fit(module, 10)
    with open_run(tmp_path / "run.h5") as run:
        assert (run.label, run.warnings) == ("L", ())
        found = [(snap.step, snap.label, dict(snap.metrics)) for snap in run.snapshots]
    loss = {"loss": 0.5}
    assert found == [(0, "init", loss), (2, "step 2", loss), (4, "step 4", loss), (5, "end", loss)]


def test_a_last_step_that_is_due_is_recorded_once(room: Any, tmp_path: Path) -> None:
    StandIn(room.RecorderCallback(tmp_path / "run.h5", X, 5)).fit(nn.Linear(2, 1), 10)
    with open_run(tmp_path / "run.h5") as run:
        assert [(snap.step, snap.label) for snap in run.snapshots] == [(0, "init"), (5, "end")]


def test_an_exception_in_the_trainer_keeps_the_snapshots(room: Any, tmp_path: Path) -> None:
    callback = room.RecorderCallback(tmp_path / "run.h5", X, 1)
    StandIn(callback).fit(nn.Linear(2, 1), 4, fails=True)
    with open_run(tmp_path / "run.h5") as run:
        assert [snap.step for snap in run.snapshots] == [0, 1, 2]
        assert "interrupted" in run.warnings[0]


def test_other_processes_write_nothing(room: Any, tmp_path: Path) -> None:
    callback = room.RecorderCallback(tmp_path / "run.h5", X, 1)
    StandIn(callback, is_global_zero=False).fit(nn.Linear(2, 1), 4)
    StandIn(callback, is_global_zero=False).fit(nn.Linear(2, 1), 4, fails=True)
    assert not list(tmp_path.iterdir())


def test_without_lightning_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("lightning.pytorch", "ntkspec.export.lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(NotInstalledError, match=r"^ntkspec.export.lightning: .*run: pip install lightning$"):
        importlib.import_module("ntkspec.export.lightning")


# -- with the package


def fit(callback: Any, **options: Any) -> tuple[Any, Any]:
    """Fit a small field with the real trainer; return the trainer and the module."""
    import lightning.pytorch as pl

    class Fit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.field = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.field(x)
            return out

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            loss = (self(batch[0]) - batch[0][:, :1]).square().mean()
            self.log("loss", loss)
            if number == options.get("fails_at"):
                raise options["error"]
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.05)

    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X), batch_size=2)
    others = {name: value for name, value in options.items() if name not in ("fails_at", "error")}
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=callback,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **others,
    )
    module = Fit()
    with warnings.catch_warnings(action="ignore"):
        trainer.fit(module, data)
    return trainer, module


def callback(path: Path, every: Any = 5, **options: Any) -> Any:
    importlib.import_module("lightning.pytorch")  # so that the callback is one of this package

    sys.modules.pop("ntkspec.export.lightning", None)
    from ntkspec.export.lightning import RecorderCallback

    return RecorderCallback(path, X, every, **options)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.slow
@needs.lightning
class TestLightning:
    """A trainer of the real package; `make test-lightning`."""

    def test_it_has_these_hooks(self) -> None:
        from lightning.pytorch import Callback

        assert all(callable(getattr(Callback, name)) for name in HOOKS)

    @pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
    def test_the_training_is_that_without_the_callback(self, tmp_path: Path, precision: Any) -> None:
        _, alone = fit(None, precision=precision)
        recorder = callback(tmp_path / "run.h5", log=lambda values, step: None)
        trainer, recorded = fit([recorder], precision=precision)
        assert torch.equal(weights(alone), weights(recorded))
        assert trainer.global_step == 12
        with open_run(tmp_path / "run.h5") as run:
            assert run.warnings == ()
            assert [(s.step, s.label) for s in run.snapshots] == [
                (0, "init"),
                (5, "step 5"),
                (10, "step 10"),
                (12, "end"),
            ]
            assert [list(snap.metrics) for snap in run.snapshots] == [[], *[["loss"]] * 3]
            assert run.snapshot(-1).jacobian.names == ("field.0", "field.3")

    def test_steps_are_those_of_the_optimizer(self, tmp_path: Path) -> None:
        trainer, _ = fit(
            [callback(tmp_path / "run.h5", 1, model=lambda module: module.field)], accumulate_grad_batches=3
        )
        with open_run(tmp_path / "run.h5") as run:
            assert [snap.step for snap in run.snapshots] == [0, 1, 2, 3, 4]
            assert run.snapshot("end").step == trainer.global_step == 4
            assert run.snapshot(-1).jacobian.names == ("0", "3")

    @pytest.mark.parametrize(
        ("error", "raised"), [(ZeroDivisionError, None), (KeyboardInterrupt, SystemExit)]
    )
    def test_an_exception_keeps_the_snapshots(self, tmp_path: Path, error: Any, raised: Any) -> None:
        with pytest.raises(raised or error):
            fit([callback(tmp_path / "run.h5", 2)], fails_at=5, error=error)
        with open_run(tmp_path / "run.h5") as run:
            assert [snap.step for snap in run.snapshots] == [0, 2, 4]
            assert "interrupted" in run.warnings[0]

    @pytest.mark.parametrize("place", [0, 1])
    def test_the_end_is_of_the_weights_that_are_averaged_last(self, tmp_path: Path, place: int) -> None:
        from lightning.pytorch.callbacks import StochasticWeightAveraging

        callbacks: list[Any] = [StochasticWeightAveraging(swa_lrs=0.1, swa_epoch_start=1)]
        callbacks.insert(place, callback(tmp_path / "run.h5", 12))
        _, module = fit(callbacks)
        with open_run(tmp_path / "run.h5") as run:
            assert [snap.step for snap in run.snapshots] == [0, 12, 12]
            with torch.no_grad():
                np.testing.assert_allclose(run["end"].outputs, module.double().eval()(X.double()))

    def test_two_processes_write_one_file(self, tmp_path: Path) -> None:
        fit([callback(tmp_path / "run.h5")], strategy="ddp_fork", devices=2)
        with open_run(tmp_path / "run.h5") as run:
            assert [snap.step for snap in run.snapshots] == [0, 5, 6]
        assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]

    def test_the_older_name_of_the_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import pytorch_lightning

        monkeypatch.delitem(sys.modules, "lightning.pytorch")
        monkeypatch.delitem(sys.modules, "ntkspec.export.lightning", raising=False)
        from ntkspec.export.lightning import RecorderCallback

        assert issubclass(RecorderCallback, pytorch_lightning.Callback)
