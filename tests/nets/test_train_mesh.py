"""The command line of training on a mesh, end to end, and its refusals."""

import json

import h5py
import needs
import numpy as np
import pytest
import trimesh

from ntkspec import analyze, validate
from ntkspec.nets import occupancy
from ntkspec.nets.occupancy import load_occupancy
from ntkspec.nets.presets import resolve
from ntkspec.report import figures
from ntkspec.report.figures import pictures
from ntkspec.train import main

pytestmark = needs.embree
SHORT = ["--points", "2000", "--iterations", "80", "--batch", "500", "--samples", "20", "--width", "16"]
SHORT += ["--device", "cpu"]  # the same numbers on every machine


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "ball.ply"
    trimesh.creation.icosphere(3).export(path)
    return str(path)


@pytest.fixture(scope="module", autouse=True)
def coarse_surfaces():
    """Surfaces of few cells; the command has no option for that."""
    before, occupancy.load_occupancy = (
        occupancy.load_occupancy,
        lambda *a, **k: load_occupancy(*a, **k, resolution=12),
    )
    yield
    occupancy.load_occupancy = before


@pytest.fixture(scope="module")
def runs(mesh, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / f"{name}.h5" for name in ("baseline", "mpe-coarse")]
    for path in paths:
        assert main(["--mesh", mesh, "--preset", path.stem, "-o", str(path), *SHORT, "-q"]) == 0
    return paths


def test_what_the_run_file_holds(mesh, runs):
    with h5py.File(runs[1]) as file:
        config = json.loads(file.attrs["config"])
        assert config["task"] == {
            "kind": "occupancy",
            "mesh": mesh,
            "points": 2000,
            "up": "y",
            "azimuth": 25.0,
        }
        assert (config["model"]["inputs"], config["model"]["outputs"]) == (3, 1)
        task = load_occupancy(mesh, 2000)
        rows = file["samples/indices"][:]
        assert np.count_nonzero(rows < 1000) == 10
        assert np.array_equal(file["samples/inputs"][:], task.coordinates[rows])
        assert np.array_equal(file["samples/targets"][:], task.values[rows])
        metrics = json.loads(file["snapshots/end"].attrs["metrics"])
        assert set(metrics) == {"loss", "iou", "iou_uniform", "chamfer"}
        assert {"truth", "end"} <= set(file["pictures"])
        assert file["pictures/end"].shape == (256, 256, 3)
    assert validate.main([str(runs[1]), "-q"]) == 0


def test_the_report_says_iou(runs, tmp_path, undrawn, monkeypatch, capsys):
    monkeypatch.setattr(figures, "draw_all", lambda report: iter([("pictures", pictures.draw(report))]))
    assert analyze.main([*map(str, runs), "--baseline", "baseline", "-o", str(tmp_path / "report")]) == 0
    out = capsys.readouterr().out
    assert "IoU" in out
    assert "PSNR" not in out
    assert "to the shape: IoU" in out
    page = (tmp_path / "report/index.html").read_text()
    assert 'class="n">IoU</th>' in page
    assert "Chamfer" in page
    assert 'class="n">PSNR</th>' not in page
    assert (tmp_path / "report/figures/pictures.svg").stat().st_size > 1000


def test_the_summary(mesh, tmp_path, capsys):
    run = str(tmp_path / "run.h5")
    assert (
        main(["--mesh", mesh, "-o", run, *SHORT, "--sampling", "patch", "--up", "z", "--azimuth", "200"]) == 0
    )
    out, err = capsys.readouterr()
    assert "IoU" in out
    assert "PSNR" not in out
    assert "kernel at 20 points, patch" in out
    assert "warning" not in err


def test_a_mesh_with_its_faces_inwards_is_warned_of(tmp_path, capsys):
    ball = trimesh.creation.icosphere(2)
    ball.invert()
    ball.export(tmp_path / "in.ply")
    assert main(["--mesh", str(tmp_path / "in.ply"), "-o", str(tmp_path / "run.h5"), *SHORT, "-q"]) == 0
    assert "turned round" in capsys.readouterr().err


def one_line(capsys, arguments, *words):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    for word in words:
        assert word in err, err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "photo.png"], ["--image and --mesh", "both"]),
        (["--side", "64"], ["--side", "task image", "task occupancy"]),
        (["--grey"], ["--grey", "task image"]),
        (["--task", "image"], ["--mesh", "task occupancy"]),
        (["--sampling", "grid"], ["--sampling", "random or patch"]),
        (["--samples", "2001"], ["--samples", "1 to 2000", "--points"]),
        (["--points", "7"], ["--points", "at least 8"]),
        (["--azimuth", "nan"], ["--azimuth"]),
        (["--mesh", "/absent.ply"], ["/absent.ply", "no such file"]),
        (["--mesh", "/"], ["/", "a folder"]),
        (["--mesh", __file__], [__file__, "readable mesh"]),
        (["--lr", "1e30"], ["diverged", "--lr (now 1e+30)"]),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_bad_arguments(mesh, tmp_path, capsys, arguments, words):
    one_line(capsys, ["--mesh", mesh, "-o", str(tmp_path / "run.h5"), *SHORT, "-q", *arguments], *words)
    assert list(tmp_path.iterdir()) == []


def test_a_mesh_that_is_not_watertight(tmp_path, capsys):
    ball = trimesh.creation.icosphere(2)
    ball.update_faces(np.arange(len(ball.faces)) > 0)
    ball.export(tmp_path / "hole.ply")
    path = str(tmp_path / "hole.ply")
    one_line(
        capsys, ["--mesh", path, "-o", str(tmp_path / "run.h5"), *SHORT], path, "3 of 480 edges", "MeshLab"
    )


def test_neither_picture_nor_mesh(tmp_path, capsys):
    run = str(tmp_path / "run.h5")
    one_line(capsys, ["-o", run], "--image or --mesh", "photo.jpg", "bunny.ply")
    one_line(capsys, ["-o", run, "--task", "occupancy"], "option --mesh", "bunny.ply")
    one_line(capsys, ["-o", run, "--image", "photo.png", "--points", "99"], "--points", "task occupancy")
    one_line(capsys, ["-o", run, "--image", "photo.png", "--task", "occupancy"], "--image", "task image")


def test_the_output_may_not_be_the_mesh(mesh, capsys):
    one_line(capsys, ["--mesh", mesh, "-o", mesh, "--overwrite"], "which is read")


def test_flags_displace_what_a_toml_file_learns(mesh, tmp_path):
    toml = {"image": "photo.png", "task": "image", "preset": "mpe-fine"}
    config = resolve(toml, {"mesh": mesh})
    assert (config.task, config.image, config.mesh, config.finest) == ("occupancy", None, mesh, 64)
    config = resolve({"mesh": mesh}, {"image": "photo.png"})
    assert (config.task, config.image, config.mesh, config.inputs) == ("image", "photo.png", None, 2)


def test_missing_embree_is_said_in_one_line(mesh, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(trimesh.ray, "has_embree", False)
    one_line(
        capsys, ["--mesh", mesh, "-o", str(tmp_path / "run.h5")], "Embree", 'pip install "ntkspec[torch]"'
    )
