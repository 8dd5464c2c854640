"""`ntkspec.train --everywhere`: a second run file, of the trained network at every pixel of the picture."""

import numpy as np
import pytest
from PIL import Image

import ntkspec.train
from ntkspec.errors import OutputError
from ntkspec.nets.image import pixel_centres
from ntkspec.train import main

SHORT = ["--side", "12", "--iterations", "4", "--batch", "64", "--samples", "20", "--width", "8", "-q"]
SHORT += ["--device", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12), np.uint8)).save("picture.png")
    return tmp_path


def trained(*words):
    return main(["--image", "picture.png", *SHORT, *words])


def test_the_same_parameters_at_every_pixel(here, capsys):
    words = ["--preset", "mpe-coarse", "--held-out", "0.5", "--no-quiet", "-o", "run.h5"]
    assert trained(*words, "--everywhere", "all.h5") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("every pixel: 144 pixels take ")
    assert "wrote all.h5: the end, at every pixel\n" in out
    assert out.endswith("next: python -m ntkspec.analyze run.h5 --everywhere all.h5\n")
    assert {path.name for path in here.iterdir()} == {"all.h5", "picture.png", "run.checkpoints", "run.h5"}
    with ntkspec.open_run("run.h5") as run, ntkspec.open_run("all.h5") as everywhere:
        everywhere.check_values()
        (end,), sampled = everywhere.snapshots, run.snapshot("end")
        assert (end.id, end.step, end.metrics) == (sampled.id, sampled.step, sampled.metrics)
        assert (everywhere.label, everywhere.config) == (run.label, run.config)
        assert np.array_equal(everywhere.inputs, pixel_centres(12))
        assert np.array_equal(everywhere.indices, np.arange(144))
        assert np.allclose(end.outputs[run.indices], sampled.outputs, rtol=0, atol=1e-12)
        for block in sampled.blocks:
            whole = end.jacobian[block.name]
            assert whole.parameters == block.parameters
            assert np.allclose(whole.to_dense()[run.indices], block.to_dense(), rtol=0, atol=1e-12)


def test_the_same_rules_of_overwriting_as_for_the_run(here, capsys):
    (here / "all.h5").write_text("mine")
    for flags in ([], ["--overwrite"]):
        assert trained("-o", "run.h5", "--everywhere", "all.h5", *flags) == 2
        assert "all.h5: expected " in capsys.readouterr().err
    assert (here / "all.h5").read_text() == "mine"
    (here / "all.h5").unlink()
    assert trained("-o", "run.h5", "--everywhere", "all.h5") == 0
    assert trained("-o", "other.h5", "--everywhere", "all.h5") == 2
    assert "a name that is free" in capsys.readouterr().err
    assert not (here / "other.h5").exists()
    assert trained("-o", "run.h5", "--everywhere", "all.h5", "--seed", "1", "--overwrite") == 0
    with ntkspec.open_run("all.h5") as everywhere:
        assert everywhere.config["seed"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mesh", "ball.ply", "-o", "run.h5"], "option --everywhere: expected a picture, which has pixels"),
        (["--image", "picture.png", "-o", "./all.h5"], "expected another file than -o"),
        (
            ["--image", "picture.png", "-o", "run.h5", "--everywhere", "picture.png"],
            "picture.png, which is read",
        ),
        (["--image", "picture.png", "-o", "run.h5", "--everywhere", "no/all.h5"], "No such file"),
        (
            ["--image", "picture.png", "-o", "run.h5", "--everywhere", "run.checkpoints"],
            "expected a place outside run.checkpoints, where checkpoints go, got one inside",
        ),
    ],
)
def test_refused_in_one_line_before_any_work(words, said, here, capsys):
    assert main(["--everywhere", "all.h5", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert [path.name for path in here.iterdir()] == ["picture.png"]


def test_a_link_to_itself_is_no_free_name(here, capsys):
    (here / "all.h5").symlink_to("all.h5")
    assert trained("-o", "run.h5", "--everywhere", "all.h5") == 2
    assert "all.h5: expected a name that is free" in capsys.readouterr().err


def test_a_run_that_stays_where_every_pixel_fails_is_named(here, capsys, monkeypatch):
    usual = ntkspec.train.write_run

    def full(path, *args, **named):
        if path.name == "all.h5":
            raise OutputError("all.h5", expected="to write the file", got="a full disk")
        usual(path, *args, **named)

    monkeypatch.setattr(ntkspec.train, "write_run", full)
    assert trained("-o", "run.h5", "--everywhere", "all.h5") == 2
    assert capsys.readouterr().err.endswith("got a full disk; the run is in run.h5\n")
    assert (here / "run.h5").exists()
