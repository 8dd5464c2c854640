"""RunExporter: what it writes is what it says, and what `jacobian` gives."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from export_zoo import build, inputs, oracle
from torch import nn

from ntkspec.errors import ExportError, OutputError, UsageError
from ntkspec.export import ExportWarning, RunExporter, jacobian
from ntkspec.store import open_run


@pytest.mark.parametrize("name", ["tanh", "layer norm", "hashed multigrid", "rare branch", "frozen weight"])
def test_a_run_file_holds_the_jacobian(tmp_path: Path, name: str) -> None:
    model, x = build(name), inputs()
    outputs, _ = oracle(model, x)
    with RunExporter(tmp_path / "run.h5", inputs=x, targets=outputs, indices=range(23), label="L") as run:
        summary = run.snapshot(model, step=0, label="init", metrics={"psnr_db": 20.5})
        run.snapshot(model, step=7, label="end")
        assert run.snapshots == ("init", "end")
    opened = open_run(tmp_path / "run.h5")
    stored = opened.snapshot("init").jacobian
    here = jacobian(model, x)
    assert stored.names == here.names == summary.blocks
    assert stored.roles == here.roles
    np.testing.assert_array_equal(stored.load().to_dense(), here.to_dense())
    with h5py.File(tmp_path / "run.h5") as file:
        np.testing.assert_allclose(file["snapshots/init/outputs"][...], outputs, rtol=1e-12, atol=1e-14)
        assert file["samples/inputs"].dtype == np.float64


def test_a_parameter_of_no_numbers_is_no_block(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model.register_parameter("spare", nn.Parameter(torch.zeros(0)))
    with RunExporter(tmp_path / "run.h5", inputs=torch.rand(5, 2)) as run:
        summary = run.snapshot(model, step=0, label="init")
    assert summary.blocks == ("0", "1")
    assert not summary.left_out


def test_small_chunks_write_the_same_file(tmp_path: Path) -> None:
    model = build("layer norm")
    for name, memory in (("a.h5", None), ("b.h5", 2e-5)):
        with RunExporter(tmp_path / name, inputs=inputs(), memory=memory) as run:
            run.snapshot(model, step=0, label="init")
    a, b = (
        open_run(tmp_path / name).snapshot("init").jacobian.load().to_dense() for name in ("a.h5", "b.h5")
    )
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_the_summary_says_what_went_where(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Dropout(0.5), nn.Linear(4, 4), nn.Linear(4, 1))
    model[3].bias.requires_grad_(False)
    model.spare = nn.Identity()
    model[2].spare = nn.Parameter(torch.zeros(3))
    with (
        RunExporter(tmp_path / "run.h5", inputs=inputs()) as run,
        pytest.warns(ExportWarning, match="no output depends on 2.spare"),
        pytest.warns(ExportWarning, match="Dropout evaluated in eval mode"),
    ):
        summary = run.snapshot(model, step=0, label="init")
    assert summary.blocks == ("0", "1", "3", "4")
    assert summary.dense == dict.fromkeys(["1.weight", "1.bias"], "LayerNorm has no factor form")
    assert summary.left_out == {"3.bias": "frozen", "2.spare": "unused"}
    assert len(summary.notes) == 2


@pytest.mark.parametrize(
    "name",
    ["tanh", "layer norm", "tied weights", "same module twice in a row", "linear on positions", "conv2d"],
)
def test_a_quiet_model_gives_no_warning(tmp_path: Path, name: str) -> None:
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.snapshot(build(name), step=0, label="init").notes == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("layer used twice", "each sample uses it 2 times: the Jacobians of its uses add up"),
        ("tied weights", "each sample uses it 2 times"),
        ("linear on positions", "each sample uses it 3 times"),
        ("linear on samples times positions", "each sample uses it 2 times"),
        ("weight penalty in the output", "used 2 times, by"),
        ("subclass with a gain", "used by Mul, which has no factor form"),
        ("weight norm", "weight norm projects the row of each unit"),
        ("conv2d", "a convolution uses it at every position"),
    ],
)
def test_reasons(tmp_path: Path, name: str, reason: str) -> None:
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run, warnings.catch_warnings(action="ignore"):
        summary = run.snapshot(build(name), step=0, label="init")
    assert any(said.startswith(reason) for said in summary.dense.values()), summary.dense


def test_loop_is_noted(tmp_path: Path) -> None:
    model = build("custom function")
    model.mid.requires_grad_(False)
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run, pytest.warns(ExportWarning, match="slow"):
        run.snapshot(model, step=0, label="init")


def test_roles() -> None:
    model, x = build("dense multigrid"), inputs()
    assert jacobian(model, x).roles == ("grid", "network")
    jac = jacobian(model, x, roles={"mlp": "head", "mlp.output": "last", "encoding.levels.0": "coarse"})
    assert [block.role for block in jac] == ["coarse", "grid", "grid", "head", "head", "last"]
    compiled = torch.nn.Module()  # as torch.compile's, which takes seconds to import
    compiled._orig_mod = model
    assert jacobian(compiled, x, roles={"_orig_mod.mlp": "head"}).roles == ("grid", "head")
    assert jacobian(compiled, x, roles={"mlp.": "head"}).roles == ("grid", "head")
    apart = jacobian(model, x, roles={"mlp.output.bias": "odd"})
    assert apart["mlp.output.bias"].role == "odd"
    assert apart["mlp.output.weight"].role == "network"


def test_ids(tmp_path: Path) -> None:
    model = build("tanh")
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        made = [
            run.snapshot(model, step=s, label=label).id
            for s, label in ((0, "a"), (5, "a"), (5, "a"), (6, "b/c"))
        ]
        made.append(run.snapshot(model, step=9, label="a", id="own").id)
        with pytest.raises(UsageError, match="taken"):
            run.snapshot(model, step=9, label="a", id="own")
        with pytest.raises(UsageError, match="step"):
            run.snapshot(model, step=-1, label="a")
        assert made == ["a", "a-5", "a-5-2", "b|c", "own"]
        assert set(run.snapshots) == set(made)


def test_labels_that_no_file_can_hold_give_ids_all_the_same(tmp_path: Path) -> None:
    labels = {
        "caf\udce9": "caf\ufffd",
        "a\0/b": "a\ufffd|b",
        "..": "snapshot",
        ".": "snapshot-4",
        "": "snapshot-5",
    }
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        for step, (label, id) in enumerate(labels.items(), 1):
            assert run.snapshot(nn.Linear(2, 1), step=step, label=label).id == id
        with pytest.raises(UsageError, match="label of the snapshot: expected a string, got 3"):
            run.snapshot(nn.Linear(2, 1), step=9, label=3)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(UsageError, match="UTF-8 without NUL"):
            run.snapshot(nn.Linear(2, 1), step=9, label="a", id="caf\udce9")
    with open_run(tmp_path / "run.h5") as stored:
        assert [one.id for one in stored.snapshots] == list(labels.values())


def test_steps_are_whole_numbers(tmp_path: Path) -> None:
    model, bad = nn.Linear(2, 1), (2**70, 10**5000, 1.5, True, torch.tensor(True), "1", None)
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        for step in bad:
            with pytest.raises(UsageError, match=r"^step: expected a whole number"):
                run.snapshot(model, step=step, label="a")
        for step in (np.int64(7), 8.0, torch.tensor(9), 2**63 - 1):
            run.snapshot(model, step=step, label=str(int(step)))
        with pytest.raises(UsageError, match="metrics"):
            run.snapshot(model, step=1, label="a", metrics=5)
    with h5py.File(tmp_path / "run.h5") as file:
        stored = {name: group.attrs["step"] for name, group in file["snapshots"].items()}
    assert stored == {str(step): step for step in (7, 8, 9, 2**63 - 1)}


def test_a_budget_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^memory: expected a positive number of GiB"):
        RunExporter(tmp_path / "run.h5", inputs=inputs(), memory="4")
    assert not list(tmp_path.iterdir())


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    path, model = tmp_path / "run.h5", build("tanh")

    def interrupted() -> None:
        with RunExporter(path, inputs=inputs()) as run:
            run.snapshot(model, step=0, label="init")
            run.snapshot(nn.Identity(), step=1, label="mid")

    with pytest.raises(ExportError):
        interrupted()
    assert not path.exists()
    with RunExporter(path, inputs=inputs(), resume=True) as run:
        assert run.snapshots == ("init",)
        run.snapshot(model, step=1, label="mid")
    assert [snapshot.label for snapshot in open_run(path).snapshots] == ["init", "mid"]


class Root(nn.Module):
    """sqrt |x . w|, by a Linear layer or by a plain parameter: its Jacobian is infinite at x = 0."""

    def __init__(self, factored: bool) -> None:
        super().__init__()
        linear = nn.Linear(2, 1, bias=False)
        self.linear = linear if factored else nn.ParameterList(linear.parameters())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.linear(x) if isinstance(self.linear, nn.Linear) else x @ self.linear[0].T
        return z.abs().sqrt()


@pytest.mark.parametrize("factored", [True, False])
def test_a_refused_snapshot_leaves_the_run_usable(tmp_path: Path, factored: bool) -> None:
    """A Jacobian that fails in a late chunk, after others were written."""
    path, x = tmp_path / "run.h5", inputs()
    x[5] = 0
    with RunExporter(path, inputs=x, memory=1e-6) as run:
        with pytest.raises(ExportError, match=r"linear.*finite numbers, got NaN or Inf .* x = \[0.0, 0.0\]"):
            run.snapshot(Root(factored), step=0, label="init")
        assert run.snapshots == ()
        run.snapshot(build("tanh"), step=0, label="init")
    assert len(open_run(path).snapshots) == 1


def test_pictures(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        run.picture("truth", pixels)
        run.snapshot(build("tanh"), step=0, label="init", picture=pixels + 1)
    with h5py.File(tmp_path / "run.h5") as file:
        assert (file["pictures/truth"][...] == pixels).all()
        assert (file["pictures/init"][...] == pixels + 1).all()


def test_single_precision_inputs_are_kept(tmp_path: Path) -> None:
    with RunExporter(tmp_path / "run.h5", inputs=inputs().float(), targets=np.zeros(23)) as run:
        run.snapshot(build("tanh"), step=0, label="init")
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["samples/inputs"].dtype == np.float32
        assert file["samples/targets"].shape == (23, 1)
        assert file["snapshots/init/blocks/0/left"].dtype == np.float64


def test_misuse(tmp_path: Path) -> None:
    run = RunExporter(tmp_path / "run.h5", inputs=inputs(), targets=torch.zeros(23, 4))
    with pytest.raises(UsageError, match="with-block"):
        run.snapshot(build("tanh"), step=0, label="init")
    with pytest.raises(ExportError, match="targets"), run:
        run.snapshot(build("tanh"), step=0, label="init")
    with pytest.raises(UsageError, match="at least one complete snapshot"):
        with RunExporter(tmp_path / "empty.h5", inputs=inputs()):
            pass
    with pytest.raises(UsageError, match="indices"):
        RunExporter(tmp_path / "other.h5", inputs=inputs(), indices=np.zeros(23))
    (tmp_path / "there.h5").touch()
    with pytest.raises(OutputError), RunExporter(tmp_path / "there.h5", inputs=inputs()):
        pass
    assert os.listdir(tmp_path) == ["there.h5"]


def test_a_label_may_be_left_out(tmp_path: Path) -> None:
    with RunExporter(tmp_path / "run.h5", inputs=inputs()) as run:
        assert run.snapshot(build("tanh"), step=30).id == "step 30"
