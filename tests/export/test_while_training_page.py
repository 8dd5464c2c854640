"""docs/while-training.md: its code runs and prints what it says, beside stand-ins for packages that log."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

from ntkspec import open_run

PAGE = (Path(__file__).parents[2] / "docs" / "while-training.md").read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Package(ModuleType):
    """A module with the given names, in place of one that is not installed."""

    def __init__(self, name: str, **names: Any) -> None:
        super().__init__(name)
        vars(self).update(names)


class Trainer:
    """Calls a callback before the first step and after the last one."""

    is_global_zero = True

    def __init__(self, max_steps: int, callbacks: list[Any]) -> None:
        self.steps, self.callbacks = max_steps, callbacks
        self.global_step = 0
        self.callback_metrics: dict[str, float] = {}

    def fit(self, module: Any, loader: Any) -> None:
        (callback,) = self.callbacks
        callback.on_train_start(self, module)
        self.global_step = self.steps
        callback.on_train_end(self, module)


def test_the_code_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[tuple[str, int]] = []
    board = SimpleNamespace(add_scalar=lambda name, value, step: logged.append((name, step)))
    wandb = Package(
        "wandb",
        init=lambda **_: None,
        define_metric=lambda name, step_metric: None,
        log=lambda values, step=None: logged.append(("wandb", values.get("ntk/step", step))),
    )
    pl = Package("lightning.pytorch", Trainer=Trainer, Callback=type("Callback", (), {}))
    for package in (
        wandb,
        Package("torch.utils.tensorboard", SummaryWriter=lambda: board),
        Package("lightning", pytorch=pl),
        pl,
    ):
        monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.delitem(sys.modules, "ntkspec.export.lightning", raising=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"module": SimpleNamespace(field=nn.Linear(2, 1)), "loader": []}
    for body in PYTHON.findall(PAGE):
        exec(body, names)
    sys.modules.pop("ntkspec.export.lightning", None)
    printed = capsys.readouterr().out
    assert f"```text\n{printed}```" in PAGE
    with open_run("lightning.h5") as run:
        assert [snap.step for snap in run.snapshots] == [0, 1000]
    named = dict(logged)
    assert named.pop("wandb") == 0
    table = re.findall(r"^\| `(ntk/\w+)`", PAGE, re.MULTILINE)
    smallest = {"ntk/lambda_min", "ntk/lambda_min_at_most"}  # one of them, for these samples
    assert {*named} | smallest == {*table}
    assert len(smallest - {*named}) == 1
