"""`python -m ntkspec.export`: from checkpoints to a run file; what is none of the model gets one line."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import ntkspec
from ntkspec.__main__ import main as script
from ntkspec.commands.export_checkpoints import main
from ntkspec.errors import UsageError
from ntkspec.export import ExportWarning, jacobian
from ntkspec.export.checkpoints import Checkpoint, load_state, read_checkpoint
from ntkspec.nets.checkpoint import save_checkpoint
from ntkspec.nets.config import TrainConfig
from ntkspec.validate import main as validate

FIELD = """
import torch
from torch import nn

class Grid(nn.Module):
    def __init__(self, width=6, outputs=3):
        super().__init__()
        self.encoding = nn.Embedding(16, 4)
        self.mlp = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))
    def forward(self, x):
        return self.mlp(self.encoding((15 * x[:, 0]).long()) * x[:, 1:])

class Drawn(nn.Module):
    def __init__(self):
        super().__init__()
        self.waves = torch.randn(2, 8)  # in no state_dict
        self.linear = nn.Linear(8, 1)
    def forward(self, x):
        return self.linear(torch.sin(x @ self.waves.to(x)))

def make(): return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
def tied():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model
class Compiled(nn.Module):  # as torch.compile's, which takes seconds to import
    def __init__(self, model):
        super().__init__()
        self._orig_mod = model
def compiled(): return Compiled(nn.DataParallel(make()))
def fails(): raise RuntimeError("first\\nsecond")
def leaves(): raise SystemExit(7)
class Picky(nn.Linear):
    def _load_from_state_dict(self, state, prefix, local, strict, missing, others, errors):
        errors.append("not today")
def picky(): return nn.Sequential(Picky(2, 8), nn.ReLU(), nn.Linear(8, 3))
class Leaves(nn.Linear):
    def __init__(self): super().__init__(2, 3)
    def forward(self, x): raise type("Stop", (BaseException,), {})("here")
model, number = make(), 3
"""
N = 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's folder: field.py, two checkpoints and the samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "field", raising=False)
    Path("field.py").write_text(FIELD)
    torch.manual_seed(0)
    torch.save(network().state_dict(), "step-3.pt")
    torch.save({"model": network().state_dict(), "epoch": 12, "optimizer": {"lr": 0.1}}, "last.pt")
    np.save("x.npy", np.random.default_rng(0).random((N, 2)))
    np.save("y.npy", np.zeros((N, 3)))
    return tmp_path


def user_module():
    """field.py, imported under another name, and without its folder on the path."""
    spec = importlib.util.spec_from_file_location("users_field", "field.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network():
    return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


def export(*words, model="field:make", checkpoint="step-3.pt", inputs="x.npy"):
    named = [] if model is None else ["--model", model]
    on = ["--device", "cpu"]  # the same bits on every machine
    return main([*named, "--checkpoint", checkpoint, "--inputs", inputs, "-o", "run.h5", *on, *words])


def snapshots(path="run.h5"):
    assert validate([str(path), "-q"]) == 0
    with ntkspec.open_run(path) as run:
        return [(snap.id, snap.step, snap.outputs, snap.jacobian.load()) for snap in run.snapshots]


def expected(model, path, columns=slice(None)):
    """Outputs and dense Jacobian by the library, of weights that are read by hand."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state.get("model", state))
    x = torch.from_numpy(np.load("x.npy"))
    return model.double()(x).detach().numpy()[:, columns], jacobian(model, x).to_dense()[:, columns]


# -- what is written


def test_two_checkpoints_in_a_process_of_its_own(folder, monkeypatch):
    words = [
        "--model",
        "field:make",
        "--checkpoint",
        "step-3.pt",
        "--checkpoint",
        "last.pt",
        "--label",
        "mine",
    ]
    words += ["--inputs", "x.npy", "--targets", "y.npy", "-o", "run.h5", "--device", "cpu"]
    monkeypatch.setenv("PYTHONPATH", str(Path(ntkspec.__file__).parent.parent), prepend=os.pathsep)
    command = [sys.executable, "-m", "ntkspec.export", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.count("20 samples, 3 outputs: 7.03 KiB, about ") == 1  # foretold, once for both
    assert "0      network   factors" in done.stderr
    assert "wrote run.h5: 20 samples on cpu; snapshots: step-3, last\n" in done.stdout
    assert "next: python -m ntkspec.analyze run.h5" in done.stdout
    for (id, step, outputs, jac), (name, said) in zip(
        snapshots(), [("step-3", 3), ("last", 12)], strict=True
    ):
        assert (id, step) == (name, said)
        values, dense = expected(network(), f"{name}.pt")
        assert np.array_equal(outputs, values)
        assert np.array_equal(jac.to_dense(), dense)
    with ntkspec.open_run("run.h5") as run:
        assert run.label == "mine"
        assert np.array_equal(run.targets, np.zeros((N, 3)))
        assert run.config["export"] == {"model": "field:make", "checkpoints": ["step-3.pt", "last.pt"]}
        assert run.config["device"] == "cpu"
    assert sorted(os.listdir(".")) == sorted(
        ["field.py", "last.pt", "step-3.pt", "x.npy", "y.npy", "run.h5"]
        + (["__pycache__"] if os.path.exists("__pycache__") else [])
    )


def test_every_step_is_said_where_stderr_is_no_terminal(folder, monkeypatch):
    """Which of them are printed is a matter of time: see test_progress.py."""
    steps, asked = [], []
    monkeypatch.setattr(
        "ntkspec.commands.export_checkpoints.progress",
        lambda **options: asked.append(options) or contextlib.nullcontext(steps.append),
    )
    assert export("--checkpoint", "last.pt", "--memory", "2e-5") == 0
    assert asked == [{"quiet": False, "bars": True}]
    starts = range(0, N, int(steps[3].split()[-4]))  # the memory holds a few samples
    assert len(starts) > 1
    assert steps == [
        "reading the checkpoints",
        "exporting step-3",
        *(f"exporting step-3: Jacobian, {start} of 20 samples" for start in starts),
        "exporting last",
        *(f"exporting last: Jacobian, {start} of 20 samples" for start in starts),
    ]


def test_the_console_script(folder, capsys):
    words = ["export", "--model", "field:make", "--checkpoint", "last.pt", "--inputs", "x.npy"]
    assert script([*words, "-o", "r.h5", "--device", "cpu"]) == 0
    assert "wrote r.h5" in capsys.readouterr().out
    assert snapshots("r.h5")[0][:2] == ("last", 12)


def test_roles_arguments_precision_and_outputs(folder, capsys):
    torch.save(user_module().Grid(9).state_dict(), "grid.pt")
    options = ["--model-args", '{"width": 9}', "--roles", "encoding=grid", "mlp.2=head", "--outputs", "2,0"]
    assert export(*options, "-q", model="field:Grid", checkpoint="grid.pt") == 0
    assert capsys.readouterr() == ("", "")
    ((_, step, outputs, jac),) = snapshots()
    assert step == 0
    assert {block.name: block.role for block in jac} == {
        "encoding": "grid",
        "mlp.0": "network",
        "mlp.2": "head",
    }
    values, dense = expected(user_module().Grid(9), "grid.pt", [2, 0])
    assert np.array_equal(outputs, values)
    assert np.allclose(jac.to_dense(), dense, rtol=0, atol=1e-15)
    single = [
        "--model-args",
        "[9]",
        "--precision",
        "float32",
        "--overwrite",
        "--device",
        "cpu",
        "--memory",
        "1",
    ]
    assert export(*single, model="field:Grid", checkpoint="grid.pt") == 0
    assert snapshots()[0][3].dtype == np.float32


@pytest.mark.parametrize("outputs", [None, "1"])
def test_a_model_instead_of_a_factory(folder, outputs):
    """It takes one checkpoint after the other; what keeps some outputs is gone after each."""
    words = [] if outputs is None else ["--outputs", outputs]
    assert export("--checkpoint", "last.pt", *words, model="field:model") == 0
    columns = slice(None) if outputs is None else [1]
    for id, _, found, jac in snapshots():
        values, dense = expected(network(), f"{id}.pt", columns)
        assert np.array_equal(found, values)
        assert np.array_equal(jac.to_dense(), dense)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("model", ["field:make", "field:compiled"])
def test_wrappers_are_taken_off(prefix, model, folder):
    state = {f"{prefix}{name}": value for name, value in network().state_dict().items()}
    torch.save({"state_dict": state, "step": torch.tensor(7)}, "wrapped.pt")
    assert export(model=model, checkpoint="wrapped.pt") == 0
    assert snapshots()[0][:2] == ("wrapped", 7)


def test_double_precision_and_tied_weights_survive(folder):
    tied = user_module().tied().double()
    torch.nn.init.normal_(tied[0].weight)
    torch.save(tied.state_dict(), "tied.pt")
    assert export(model="field:tied", checkpoint="tied.pt") == 0
    ((_, _, outputs, jac),) = snapshots()
    x = torch.from_numpy(np.load("x.npy"))
    assert np.array_equal(outputs, tied(x).detach().numpy())
    assert jac.width == 4 + 2 + 2


def test_whole_numbers_may_be_stored_as_floats():
    """Where all tensors were converted to half precision, BatchNorm's count of batches was, too."""
    norm = torch.nn.BatchNorm1d(2)
    state = {name: tensor.half() for name, tensor in norm.state_dict().items()}
    load_state(norm, Checkpoint(Path("a.pt"), {**state, "num_batches_tracked": torch.tensor(3.0)}, None))
    assert norm.num_batches_tracked == 3
    with pytest.raises(UsageError, match=r"tracked: expected whole numbers, .* got floating-point"):
        load_state(norm, Checkpoint(Path("a.pt"), {**state, "num_batches_tracked": torch.tensor(2.5)}, None))


def test_complex_weights_keep_their_digits():
    layer = torch.nn.Linear(2, 1, dtype=torch.complex64)
    state = torch.nn.Linear(2, 1, dtype=torch.complex128).state_dict()
    load_state(layer, Checkpoint(Path("a.pt"), state, None))
    assert torch.equal(layer.weight, state["weight"])


def test_checkpoints_of_the_training_need_no_model(folder):
    from ntkspec.nets.build import build_model

    config = TrainConfig(outputs=2, width=8, label="a label")
    for step, label in ((0, "init"), (500, "end")):
        save_checkpoint(f"{label}.pt", config, step, build_model(config).state_dict())
    assert export("--checkpoint", "end.pt", model=None, checkpoint="init.pt") == 0
    assert [found[:2] for found in snapshots()] == [("init", 0), ("end", 500)]
    with ntkspec.open_run("run.h5") as run:
        assert run.label == "a label"
        assert run.config["model"]["width"] == 8


def test_checkpoints_of_two_networks_are_refused(folder, capsys):
    from ntkspec.nets.build import build_model

    for name, activation in (("a.pt", "relu"), ("b.pt", "tanh")):
        config = TrainConfig(outputs=2, width=8, activation=activation)
        save_checkpoint(name, config, 0, build_model(config).state_dict())
    assert export("--checkpoint", "b.pt", model=None, checkpoint="a.pt") == 2
    said = "error: b.pt: expected a checkpoint of the network of a.pt, got one of another network; "
    assert capsys.readouterr().err.startswith(said)
    assert not Path("run.h5").exists()


@pytest.mark.parametrize(
    ("content", "name", "step"),
    [
        ({"step": 5, "epoch": 1}, "a.pt", 5),
        ({"global_step": 6.0}, "a.pt", 6),
        ({"step": None, "iteration": torch.tensor(8)}, "a.pt", 8),
        ({"lr": -1}, "a7.pt", 7),
        ({}, "net_001200.pth", 1200),
        ({}, "v2-final.pt", None),
        ({}, "9" * 25 + ".pt", None),
    ],
)
def test_steps(content, name, step, tmp_path):
    torch.save({"state_dict": network().state_dict(), **content}, tmp_path / name)
    assert read_checkpoint(tmp_path / name).step == step


@pytest.mark.parametrize("step", [-5, 10**30, 2.5, "x", True, torch.tensor([1, 2]), torch.tensor(1j), {}])
def test_a_step_that_is_none(step, tmp_path):
    torch.save({"state_dict": network().state_dict(), "step": step, "epoch": 3}, tmp_path / "a7.pt")
    with pytest.raises(UsageError, match=r"a7\.pt: step: expected a whole number from 0 to 2\^63 - 1, got "):
        read_checkpoint(tmp_path / "a7.pt")


def test_steps_that_are_given_count(folder):
    """Also where a checkpoint says a step that no run file can hold."""
    torch.save({"model": network().state_dict(), "epoch": 2.5}, "half.pt")
    assert export("--checkpoint", "half.pt", "last.pt", "--steps", "0", "500", "900") == 0
    assert [found[:2] for found in snapshots()] == [("step-3", 0), ("half", 500), ("last", 900)]


def test_names_and_places(folder):
    for run in ("a", "b"):
        os.mkdir(run)
        torch.save(network().state_dict(), f"{run}/end.pt")
    assert export("--checkpoint", "b/end.pt", "last.pt", checkpoint="a/end.pt") == 0
    assert [found[:2] for found in snapshots()] == [("a|end", 0), ("b|end", 1), ("last", 12)]


def test_npz_and_a_vector(folder):
    np.savez("one.npz", x=np.load("x.npy").astype(">f4"))
    assert export(inputs="one.npz") == 0
    with ntkspec.open_run("run.h5") as run:
        assert np.array_equal(run.inputs, np.load("x.npy").astype("f4"))


# -- what is refused


class Code:
    def __reduce__(self):
        return os.system, ("touch ran",)


def write_bad_checkpoints():
    state = network().state_dict()
    torch.save({"state_dict": Code()}, "code.pt")
    Path("pickle.pt").write_bytes(pickle.dumps(Code()))
    torch.save(network(), "whole.pt")
    torch.save({"state_dict": state, "loss": np.float64(1)}, "numpy.pt")
    torch.save([1], "list.pt")
    torch.save({"net": state}, "elsewhere.pt")
    torch.save({"model": state, "state_dict": state}, "several.pt")
    whole = Path("step-3.pt").read_bytes()
    Path("cut.pt").write_bytes(whole[: len(whole) // 2])
    Path("empty.pt").touch()
    Path("x.safetensors").write_bytes((30).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[]}}')
    os.mkdir("folder.pt")
    torch.save({f"net.{name}": value for name, value in state.items()}, "prefix.pt")
    torch.save({"0.wieght" if name == "0.weight" else name: value for name, value in state.items()}, "key.pt")
    torch.save(
        torch.nn.Sequential(torch.nn.Linear(2, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3)).state_dict(),
        "wide.pt",
    )
    weight = state["0.weight"]
    with warnings.catch_warnings(action="ignore"):  # some forms are deprecated or new
        for name, other in {
            "int8": weight.char(),
            "complex": weight.to(torch.complex64),
            "sparse": weight.to_sparse(),
            "csr": weight.to_sparse_csr(),
            "meta": weight.to("meta"),
            "nested": torch.nested.nested_tensor([*weight]),
            "quantised": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        }.items():
            torch.save({**state, "0.weight": other}, f"{name}.pt")
    torch.save({**state, "0.bias": state["0.bias"] * float("nan")}, "nan.pt")
    with warnings.catch_warnings(action="ignore"):  # torch.jit is deprecated
        torch.jit.script(torch.nn.Linear(2, 2)).save("script.pt")
    torch.save(user_module().Drawn().state_dict(), "drawn.pt")


CHECKPOINTS = {
    "code.pt": "got one that would run or hold posix.system; save its tensors alone",
    "pickle.pt": "a file that torch.save did not write, or a damaged one",
    "whole.pt": "hold torch.nn.modules.container.Sequential; save its tensors alone",
    "numpy.pt": "multiarray.scalar; save its tensors alone",
    "list.pt": "expected a checkpoint of tensors, got a list",
    "elsewhere.pt": "got one that holds 'net'; save the tensors alone, or under 'state_dict'",
    "several.pt": "got several: state_dict, model",
    "cut.pt": "got a damaged one, perhaps cut off; copy or save it again",
    "empty.pt": "got an empty file",
    "x.safetensors": "got a safetensors file; convert it: torch.save(safetensors.torch.load_file",
    "folder.pt": "got a folder; name a file of torch.save",
    "no/such.pt": "no/such.pt: expected a checkpoint of tensors, got no such file; check the path",
    "x.npy": "a file that torch.save did not write",
    "prefix.pt": "let the factory return a module that holds the model as 'net'",
    "key.pt": "expected the 4 tensors of the model, got no '0.weight' and also '0.wieght'",
    "wide.pt": "wide.pt: 0.weight: expected shape (8, 2), as the model has it, got (9, 2)",
    "int8.pt": "0.weight: expected floating-point numbers, as the model has them, got whole ones (int8)",
    "complex.pt": "0.weight: expected floating-point numbers, as the model has them, got complex ones",
    "sparse.pt": "0.weight: expected floating-point numbers, as the model has them, got sparse_coo ones",
    "csr.pt": "got sparse_csr ones (float32); save the weights as they were trained, not converted",
    "meta.pt": "got meta ones (float32)",
    "nested.pt": "got nested ones (float32)",
    "quantised.pt": "got quantised ones (qint8)",
    "nan.pt": "nan.pt: parameter 0.bias: expected finite numbers, got NaN or Inf in 8 of 8 places",
    "script.pt": "got a TorchScript archive",
    "step-3.pt": "expected each checkpoint once, got step-3.pt",
}


def refused(capsys, *words, **options):
    """The one line, after which nothing is left and nothing has been run."""
    assert export(*words, **options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    foretold, _, err = err.rpartition("error: ")  # before a later checkpoint turns out to be unfit
    assert foretold == "" or "about 1 s" in foretold
    assert err.count("\n") == 1
    assert len(err) < 400
    assert not [name for name in os.listdir(".") if name.startswith(("run.h5", "ran"))]
    return err


def test_what_is_no_checkpoint_of_the_model(folder, capsys):
    write_bad_checkpoints()
    for name, words in CHECKPOINTS.items():
        assert words in refused(capsys, "--checkpoint", name), name  # after one that is good
    assert "expected a model that the checkpoint determines" in refused(
        capsys, model="field:Drawn", checkpoint="drawn.pt"
    )
    assert "got RuntimeError: Error(s) in loading state_dict for Sequential: not today; let" in refused(
        capsys, model="field:picky"
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("field", "expected package.module:factory, got 'field'; e.g. field:make"),
        ("field.py:make", "expected package.module:factory, got 'field.py:make'"),
        ("feild:make", "got no module named 'feild' in "),
        ("field:mak", "got no 'mak' there; did you mean make?"),
        ("field:number", "expected a function that makes the model, got something of type int"),
        ("field:fails", "got RuntimeError: first; mend it"),
        (
            "field:leaves",
            "expected a model that does not end the program, got SystemExit: 7",
        ),
        ("field:Grid.forward", "got TypeError: Grid.forward() missing 2 required"),
        ("os:getcwd", "expected a factory that returns a torch.nn.Module, got something of type str"),
        ("exits:make", "got SystemExit: 3; mend it; what it does as a script belongs under"),
        ("lacks:make", "got ModuleNotFoundError: No module named 'no_such_library'"),
        (None, "got none, and step-3.pt is no checkpoint of ntkspec.train; name what makes the model"),
    ],
)
def test_what_is_no_factory(model, words, folder, capsys):
    Path("exits.py").write_text("import sys\nsys.exit(3)\n")
    Path("lacks.py").write_text("import no_such_library\n")
    assert words in refused(capsys, model=model)


def test_a_model_that_ends_the_program(folder, capsys):
    torch.save(torch.nn.Linear(2, 3).state_dict(), "linear.pt")
    said = "--model field:Leaves: expected a model that does not end the program, got Stop: here; take"
    assert said in refused(capsys, model="field:Leaves", checkpoint="linear.pt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--inputs", "none.npy"],
            "--inputs none.npy: expected a .npy file, or a .npz file of one array, got no such",
        ),
        (["--inputs", "two.npz"], "got 2 arrays (a, b)"),
        (["--inputs", "step-3.pt"], 'a file of torch.save; write it by numpy.save("x.npy", x.cpu().numpy())'),
        (["--inputs", "field.py"], "got another kind of file"),
        (["--inputs", "objects.npy"], "one that NumPy refuses"),
        (["--inputs", "cut.npy"], "one that NumPy refuses"),
        (["--inputs", "wide.npy"], "expected a forward pass on float64 inputs of shape (7, 3)"),
        (["--inputs", "nan.npy"], "--inputs: expected finite numbers"),
        (["--targets", "x.npy"], "--targets: expected shape (20, 3)"),
        (["--targets", "y.npy", "--outputs", "0"], "--targets: expected shape (20, 1)"),
        (
            ["--outputs", "1,3"],
            "--outputs: expected numbers from 0 to 2, since the model has 3 outputs, got 3",
        ),
        (["--roles", "grid"], "--roles: expected PREFIX=ROLE, got 'grid'"),
        (["--roles", "0=a", "--roles", "0=b"], "expected one role for 0, got a and b"),
        (["--roles", "enc=grid"], "expected the beginning of a parameter's name (0.weight"),
        (["--device", "cuda:99"], "--device: expected"),
        (["--device", "gpu"], "--device: expected auto|cpu|cuda[:N], got 'gpu'"),
        (
            ["-o", "field.py", "--overwrite"],
            "field.py: expected no file, or a run file of ntkspec to replace",
        ),
        (["-o", "step-3.pt", "--overwrite"], "expected a file to write, got step-3.pt, which is read"),
        (["-o", "nowhere/run.h5"], "nowhere: No such file or directory"),
    ],
)
def test_other_refusals(words, said, folder, capsys):
    x = np.load("x.npy")
    np.savez("two.npz", a=x, b=x)
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    np.save("wide.npy", np.zeros((N, 3)))
    np.save("nan.npy", x * np.nan)
    Path("cut.npy").write_bytes(Path("x.npy").read_bytes()[:-9])
    before = Path("field.py").read_bytes()
    assert said in refused(capsys, *words)
    assert Path("field.py").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["--outputs", "0,x"],
        ["--outputs", "1,1"],
        ["--model-args", "3"],
        ["--memory", "0"],
        ["--steps", "2.5"],
        ["--steps", "-1"],
        ["--steps", "9" * 5000],
    ],
)
def test_words_that_cannot_be_parsed(words, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        export(*words)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "; see python -m ntkspec.export --help" in said
    assert len(said) < 400


def test_steps_of_other_checkpoints(folder, capsys):
    torch.save({"model": network().state_dict(), "epoch": 2.5}, "half.pt")
    said = "half.pt: epoch: expected a whole number from 0 to 2^63 - 1, got 2.5; give the step of each "
    assert f"{said}checkpoint by --steps" in refused(capsys, checkpoint="half.pt")
    said = "--steps: expected 1, one for each checkpoint, got 2"
    assert said in refused(capsys, "--steps", "3", "4")


def test_arguments_without_a_factory(folder, capsys):
    assert "--model-args: expected --model beside it" in refused(capsys, "--model-args", "[3]", model=None)


def test_an_older_file_stays_unless_asked_and_when_the_disk_is_full(folder, capsys, monkeypatch):
    assert export("-q") == 0
    before = Path("run.h5").read_bytes()
    assert export() == 2
    assert "expected a name that is free, got one that exists" in capsys.readouterr().err
    Path("run.h5").rename("run.h5.part")  # as if the first export had been killed before its last moment
    assert export() == 2
    assert "run.h5.part: expected no unfinished run file" in capsys.readouterr().err
    Path("run.h5.part").rename("run.h5")
    flush = h5py.File.flush

    def full(file):
        if "last" in file["snapshots"]:  # the second snapshot; the first one is complete
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    monkeypatch.setattr(h5py.File, "flush", full)
    assert export("--checkpoint", "last.pt", "--overwrite") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert Path("run.h5").read_bytes() == before
    assert not os.path.exists("run.h5.part")


def test_warnings_of_the_exporter_are_lines(folder, capsys):
    """A dense parameter whose rows are mostly zero, and whose role nobody said."""
    model = user_module().Grid()
    model.encoding = torch.nn.Embedding(2000, 4)
    torch.nn.utils.parametrize.register_parametrization(model.encoding, "weight", torch.nn.Tanh())
    torch.save(model.state_dict(), "large.pt")
    Path("large.py").write_text(
        "import field, torch\ndef make():\n    model = field.Grid()\n"
        "    model.encoding = torch.nn.Embedding(2000, 4)\n"
        "    parametrize = torch.nn.utils.parametrize.register_parametrization\n"
        "    parametrize(model.encoding, 'weight', torch.nn.Tanh())\n    return model\n"
    )
    with warnings.catch_warnings(action="always", category=ExportWarning):
        assert export("-q", model="large:make", checkpoint="large.pt") == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: snapshot 'large': encoding.parametrizations.weight.original is dense")
    assert "roles={'encoding.parametrizations.weight.original': 'grid'}" in err
    assert err.count("\n") == 1
