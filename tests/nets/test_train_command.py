"""The command line of training, end to end on a small picture, and its refusals."""

import contextlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import ntkspec.analyze
import ntkspec.train
from ntkspec._io import locked
from ntkspec.errors import OutputError
from ntkspec.nets.checkpoint import load_checkpoint
from ntkspec.nets.image import load_image
from ntkspec.train import main

SHORT = ["--side", "16", "--iterations", "4", "--batch", "64", "--samples", "20", "--width", "8"]
SHORT += ["--device", "cpu"]  # the same numbers on every machine


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "astronaut.png"
    Image.fromarray(astronaut()[::4, ::4]).save(path)
    return str(path)


def test_a_run_from_flags(picture, tmp_path, capsys):
    run = tmp_path / "my run.h5"
    arguments = ["--image", picture, "--preset", "mpe-fine", "-o", str(run), *SHORT, "--checkpoints", "1"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "MPE (fine)" in out
    assert f"python -m ntkspec.analyze '{run}'" in out
    assert "error" not in err
    folder = tmp_path / "my run.checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == [
        "end.pt",
        "init.pt",
        "loss.csv",
        "mid.pt",
        "step-1.pt",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, run.name]
    with h5py.File(run) as file:
        assert file.attrs["label"] == "MPE (fine)"
        config = json.loads(file.attrs["config"])
        assert config["encoding"]["kind"] == "multigrid"
        assert config["device"] == "cpu"
        assert len(config["training"]["losses"]) == 1
        assert set(file["snapshots"]) == {"init", "step-1", "mid", "end"}
        indices, inputs = file["samples/indices"][:], file["samples/inputs"][:]
        assert np.allclose(inputs, np.stack([indices % 16 + 0.5, indices // 16 + 0.5], axis=1) / 16)
        assert file["samples/targets"].shape == (20, 3)
        end = file["snapshots/end"]
        assert set(json.loads(end.attrs["metrics"])) == {"loss", "psnr_db"}
        model, _, step = load_checkpoint(folder / "end.pt")
        assert step == end.attrs["step"] == 4
        outputs = model.double()(ntkspec_tensor(inputs)).detach().numpy()
        assert np.allclose(outputs, end["outputs"][:], atol=1e-12)


def ntkspec_tensor(array):
    import torch

    return torch.from_numpy(array).double()


def test_toml_gives_every_option_and_flags_win(picture, tmp_path, capsys):
    run = tmp_path / "run.h5"
    toml = tmp_path / "run.toml"
    toml.write_text(
        f'preset = "ffe-low"\nlabel = "mine"\noutput = {json.dumps(str(run))}\nquiet = true\nthreads = 1\n'
        'device = "cpu"\n'
        f"[task]\nimage = {json.dumps(picture)}\nside = 16\ngrey = true\n"
        "[encoding]\nsigma = 3\nfeatures = 9\n"
        '[optimizer]\niterations = 4\n[samples]\ncount = 10\npattern = "grid"\n[model]\nwidth = 8\n'
    )
    assert main(["--config", str(toml), "--sigma", "2.5", "--threads", "2"]) == 0
    assert capsys.readouterr() == ("", "")
    with h5py.File(run) as file:
        config = json.loads(file.attrs["config"])
        assert file.attrs["label"] == "mine"
        assert (config["encoding"]["sigma"], config["encoding"]["features"]) == (2.5, 9)
        assert config["model"]["outputs"] == 1
        assert len(file["samples/indices"]) == 9
    assert main(["--config", str(toml), "--overwrite", "--no-grey", "--samples", "16", "--no-quiet"]) == 0
    assert "16 pixels, grid" in capsys.readouterr().out
    with h5py.File(run) as file:
        assert file["samples/targets"].shape == (16, 3)


def test_a_run_with_pixels_held_out(picture, tmp_path, undrawn, capsys):
    run = tmp_path / "run.h5"
    assert main(["--image", picture, *SHORT, "--held-out", "0.5", "-o", str(run)]) == 0
    assert "held out dB" in capsys.readouterr().out
    held_out = load_image(picture, 16, held_out=0.5).held_out
    with h5py.File(run) as file:
        assert json.loads(file.attrs["config"])["task"]["held_out"] == 0.5
        assert not set(file["samples/indices"][:]) & set(held_out)
        metrics = json.loads(file["snapshots/end"].attrs["metrics"])
    assert set(metrics) == {"loss", "psnr_db", "psnr_db_learnt", "psnr_db_held_out"}
    assert ntkspec.analyze.main([str(run), "-o", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert f"held out {metrics['psnr_db_held_out']:.1f} dB" in page


@pytest.mark.parametrize("interpolation", ["quadratic", "cubic"])
def test_a_run_with_splines(picture, tmp_path, interpolation):
    run = tmp_path / "run.h5"
    arguments = ["--preset", "mpe-coarse", "--interpolation", interpolation, "-q", "-o", str(run)]
    assert main(["--image", picture, *SHORT, *arguments]) == 0
    with h5py.File(run) as file:
        assert json.loads(file.attrs["config"])["encoding"]["interpolation"] == interpolation
        model, _, _ = load_checkpoint(tmp_path / "run.checkpoints" / "end.pt")
        outputs = model.double()(ntkspec_tensor(file["samples/inputs"][:])).detach().numpy()
        assert np.allclose(outputs, file["snapshots/end/outputs"][:], atol=1e-12)


def refused(capsys, arguments, *words):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert ": expected " in err
    assert ", got " in err
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "mpe"], ["mpe-coarse", "mpe-fine"]),
        (["--preset", "mpe-fin"], ["'mpe-fin'", "did you mean mpe-fine?"]),
        (["--preset", "xyz"], ["one of baseline", "'xyz'"]),
        (["--activation", "rellu"], ["--activation", "did you mean relu?"]),
        (["--iteratons", "5"], ["--iteratons", "did you mean --iterations?"]),
        (["--preset=mpe-fin"], ["did you mean mpe-fine?"]),
        (["--preset", "MPE-FINE"], ["'MPE-FINE'", "did you mean mpe-fine?"]),
        (["--activation", "ReLU"], ["did you mean relu?"]),
        (["--steps", "5"], ["--steps", "did you mean --iterations?"]),
        (["--epochs", "5"], ["--epochs", "did you mean --iterations?"]),
        (["--learning_rate", "5"], ["did you mean --lr?"]),
        (["--HELD_OUT", "5"], ["did you mean --held-out?"]),
        (["--device", "gpu"], ["option --device", "auto|cpu|cuda[:N]", "'gpu'"]),
        (["--device", "cuda:"], ["option --device", "auto|cpu|cuda[:N]", "'cuda:'"]),
        (["--device", "cuda:99"], ["option --device", "see nvidia-smi"]),
        (["--x"], ["option --x", "an unknown one; leave it out"]),
        (["--", "--x"], ["leave it out"]),
        (["photo.jpg"], ["'photo.jpg'", "--image PICTURE"]),
        (["--side"], ["--side", "one argument", "none"]),
        (["--azimuth", "-1e2"], ["--azimuth", "with = between"]),
        (["--quiet=3"], ["--quiet", "'3'"]),
        (["--checkpoints", "3", "x"], ["--checkpoints", "whole numbers from 0", "'x'"]),
        (["--checkpoints", "-3"], ["--checkpoints", "whole numbers from 0", "'-3'"]),
        (["--lr", "fast"], ["--lr", "above 0", "'fast'"]),
        (["--side", "0"], ["--side", "at least 2", "0"]),
        (["--side", "large"], ["--side", "large"]),
        (["--held-out", "1"], ["--held-out", "above 0", "0.99", "1.0"]),
        (["--held-out", "0.95"], ["--samples", "pixels that are learnt", "--held-out"]),
        (["--held-out", "0.5", "--sampling", "patch"], ["--sampling", "random", "'patch'"]),
        (["--lr", "-1"], ["--lr", "above 0", "-1"]),
        (["--lr", "nan"], ["--lr"]),
        (["--depth", "0"], ["--depth"]),
        (["--samples", "0"], ["--samples"]),
        (["--samples", "257"], ["--samples", "256"]),
        (["--checkpoints", "5"], ["--checkpoints"]),
        (["--encoding", "multigrid", "--finest", "64", "--growth", "2"], ["--finest and --growth"]),
        (["--encoding", "multigrid", "--finest", "999999"], ["parameters"]),
        (["--threads", "0"], ["--threads"]),
        (["--threads", "100000"], ["--threads", "at most"]),
        (["--config", ""], ["option --config", "expected the path of a file or folder, got ''"]),
        (["--mesh", ""], ["--image and --mesh", "got both"]),
        (["-o", "."], ["a folder", "run.h5"]),
        (["-o", "/"], ["a folder"]),
        (["-o", ".."], ["a folder"]),
        (["-o", "/absent/run.h5"], ["/absent: No such file or directory; create it, or choose another"]),
        (["-o", "/proc/self/task/run.h5"], ["No such file or directory; choose another folder"]),
        (["-o", "a" * 300], ["too long", "shorter name"]),
        (["-o", "a" * 250], ["too long", "shorter name"]),
        (["--preset", "baseline", "--sigma", "3"], ["--sigma", "gaussian"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["--image", "/absent.png"], ["/absent.png"]),
        (["--image", "/"], ["/"]),
        (["--image", __file__], [__file__]),
        (["--config", "/absent.toml"], ["/absent.toml"]),
        (["--config", __file__], [__file__]),
        (["--preset", "mpe-fine", "--lr", "1e30"], ["diverged", "step", "--lr (now 1e+30)"]),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_bad_arguments(picture, tmp_path, capsys, arguments, words):
    refused(capsys, ["--image", picture, "-o", str(tmp_path / "run.h5"), *SHORT, "-q", *arguments], *words)
    assert list(tmp_path.iterdir()) == []


def test_missing_arguments(picture, tmp_path, capsys):
    refused(capsys, ["--image", picture], "--output", "-o run.h5")
    refused(capsys, ["-o", str(tmp_path / "run.h5")], "--image")


def test_toml_with_unknown_keys(picture, tmp_path, capsys):
    toml = tmp_path / "x.toml"
    toml.write_text("speed = 3\n")
    refused(capsys, ["--config", str(toml)], "x.toml", "'speed'", "preset, label, seed, output", "[encoding]")
    toml.write_text("[encoding]\nsigmaa = 3\n")
    refused(capsys, ["--config", str(toml)], "x.toml", "'sigmaa'", "sigma")


def test_outputs_that_are_in_the_way(picture, tmp_path, capsys):
    run = tmp_path / "run.h5"
    command = ["--image", picture, *SHORT, "-q", "-o", str(run)]
    refused(capsys, [*command[:-1], str(tmp_path)], str(tmp_path), "a folder")
    refused(capsys, [*command[:-1], str(tmp_path), "--overwrite"], "a folder")
    refused(capsys, [*command[:-1], str(tmp_path / "absent" / "run.h5")], "absent")
    run.write_text("mine")
    refused(capsys, command, "run.h5", "--overwrite")
    refused(capsys, [*command, "--overwrite"], "run.h5", "ntkspec")
    assert run.read_text() == "mine"
    run.unlink()
    with h5py.File(run, "w") as file:
        file.attrs["format"] = "another"
    refused(capsys, [*command, "--overwrite"], "run.h5", "ntkspec")
    run.unlink()
    part = tmp_path / "run.h5.part"
    part.write_text("mine")
    refused(capsys, command, "run.h5.part")
    assert part.read_text() == "mine"
    part.write_bytes((Path(__file__).parents[2] / "data/golden/mpe.h5").read_bytes())
    refused(capsys, command, "run.h5.part", "1 complete snapshot", "overwrite")
    part.unlink()
    folder = tmp_path / "run.checkpoints"
    folder.mkdir()
    refused(capsys, command, "run.checkpoints")
    (folder / "thesis.tex").write_text("precious")
    refused(capsys, [*command, "--overwrite"], "thesis.tex")
    assert (folder / "thesis.tex").read_text() == "precious"


def test_inputs_are_never_replaced(picture, tmp_path, capsys):
    toml = tmp_path / "x.toml"
    toml.write_text("quiet = true\n")
    alias = tmp_path / "alias.h5"
    alias.symlink_to(picture)
    before = Path(picture).read_bytes()
    command = ["--config", str(toml), "--image", picture, *SHORT]
    for output in (picture, str(alias), str(toml)):
        for flags in ([], ["--overwrite"]):
            refused(capsys, [*command, "-o", output, *flags], "which is read", "another -o")
    assert Path(picture).read_bytes() == before
    assert toml.read_text() == "quiet = true\n"


def test_a_success_removes_what_killed_runs_left(picture, tmp_path):
    left, other, foreign, held = (
        tmp_path / f".{name}.checkpoints.{end}"
        for name, end in (
            ("run", "abcd0123.part"),
            ("run.b", "abcd0123.part"),
            ("run", "abcd0124.part"),
            ("run", "abcd0125.part"),
        )
    )
    for folder in (left, other, foreign, held):
        folder.mkdir()
        (folder / "init.pt").write_text("")
        (folder / ".mid.pt.0123abcd.part").write_text("")
    (foreign / "thesis.tex").write_text("precious")
    with locked(held) as free:
        assert free
        assert main(["--image", picture, *SHORT, "-q", "-o", str(tmp_path / "run.h5")]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run.h5", "run.checkpoints", other.name, foreign.name, held.name}


def test_no_bar_and_no_empty_lines_where_stderr_is_no_terminal(picture, tmp_path, capsys):
    assert main(["--image", picture, *SHORT, "-o", str(tmp_path / "run.h5")]) == 0
    assert capsys.readouterr().err == ""


def test_every_step_is_said_where_stderr_is_no_terminal(picture, tmp_path, monkeypatch, capsys):
    """Which of them are printed is a matter of time: see test_progress.py."""
    steps, asked = [], []
    monkeypatch.setattr(
        ntkspec.train,
        "progress",
        lambda **options: asked.append(options) or contextlib.nullcontext(steps.append),
    )
    assert main(["--image", picture, *SHORT, "--label", "mine", "-o", str(tmp_path / "run.h5")]) == 0
    assert asked == [{"quiet": False, "bars": True}]
    assert [re.sub(r"\d\.\d+e[+-]\d+", "x", step) for step in steps] == [
        f"reading {picture}",
        "snapshot init: metrics and picture",
        "training mine: step 2 of 4, loss x",
        "snapshot mid: metrics and picture",
        "training mine: step 4 of 4, loss x",
        "snapshot end: metrics and picture",
        *(
            line
            for label in ("init", "mid", "end")
            for line in (f"exporting {label}", f"exporting {label}: Jacobian, 0 of 20 samples")
        ),
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OutputError("x", expected="a", got="b", remedy="c")])
@pytest.mark.parametrize("method", ["export.exporter.RunExporter.snapshot", "store.writer.RunWriter.picture"])
def test_a_failure_during_the_export_leaves_nothing(picture, tmp_path, monkeypatch, capsys, error, method):
    usual, calls = pkgutil.resolve_name(f"ntkspec.{method}"), []

    def second_fails(self, *args, **named):
        calls.append(args)
        if len(calls) == 2:
            assert (tmp_path / "run.h5.part").exists()
            raise error
        return usual(self, *args, **named)

    monkeypatch.setattr(f"ntkspec.{method}", second_fails)
    code = main(["--image", picture, *SHORT, "-q", "-o", str(tmp_path / "run.h5")])
    assert code == (130 if error is KeyboardInterrupt else 2)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_leaves_the_older_one(picture, tmp_path, capsys):
    command = ["--image", picture, *SHORT, "-q", "-o", str(tmp_path / "run.h5")]
    assert main(command) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused(capsys, [*command, "--overwrite", "--lr", "1e30"], "diverged")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_interrupt_leaves_nothing(picture, tmp_path, monkeypatch, capsys):
    import ntkspec.nets.training

    def interrupt(*args, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(ntkspec.nets.training, "_step", interrupt)
    assert main(["--image", picture, *SHORT, "-q", "-o", str(tmp_path / "run.h5")]) == 130
    assert list(tmp_path.iterdir()) == []


def test_missing_torch_is_said_in_one_line(picture, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("ntkspec.nets.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(
        capsys,
        ["--image", picture, *SHORT, "-o", str(tmp_path / "run.h5")],
        'pip install "ntkspec[torch]"',
        "torch",
    )


def test_help_shows_presets_and_an_example_without_torch():
    code = (
        "import sys, ntkspec.train\n"
        "try: ntkspec.train.main(['--help'])\n"
        "finally: assert 'torch' not in sys.modules\n"
    )
    root = Path(ntkspec.train.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    words = (
        "examples:",
        "--preset mpe-fine -o",
        "--mesh bunny.ply",
        "ffe-high",
        "--table-size",
        "[optimizer]",
    )
    for word in words:
        assert word in done.stdout
