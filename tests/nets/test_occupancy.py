"""Occupancy of meshes: inside and outside by definition, points to learn from, training, and bad files."""

import math
import os
from pathlib import Path

import needs
import numpy as np
import pytest
import torch
import trimesh

from ntkspec.errors import UsageError
from ntkspec.nets import occupancy
from ntkspec.nets.inside import contains
from ntkspec.nets.occupancy import NEAR, draw_points, iou, load_mesh, load_occupancy
from ntkspec.nets.presets import PRESETS, resolve
from ntkspec.nets.samples import sample_points
from ntkspec.nets.training import predictor, train

pytestmark = needs.embree
RNG = np.random.default_rng(0)
KNOT = Path(__file__).parents[2] / "data" / "meshes" / "knot.ply"
BALL = trimesh.creation.icosphere(subdivisions=3)


def save(path, mesh):
    mesh.export(path)
    return path


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    return save(tmp_path_factory.mktemp("mesh") / "ball.ply", BALL)


@pytest.fixture(scope="module")
def task(ball):
    return load_occupancy(ball, 1000, resolution=12)


def short(**changes):
    given = {"mesh": "ball.ply", "preset": "mpe-coarse", "iterations": 24, "batch": 200, "width": 16}
    return resolve(given | changes)


def test_meshes_fill_the_box_but_for_a_margin(tmp_path):
    box = trimesh.creation.box(extents=(4, 2, 1)).apply_translation((100, -7, 3))
    mesh, notes = load_mesh(save(tmp_path / "box.stl", box))
    assert np.allclose(mesh.bounds, [[0.05, 0.275, 0.3875], [0.95, 0.725, 0.6125]])
    assert notes == ()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e30])
def test_the_size_of_a_mesh_does_not_matter(tmp_path, scale):
    mesh, _ = load_mesh(save(tmp_path / "ball.ply", BALL.copy().apply_scale(scale)))
    assert mesh.volume == pytest.approx(BALL.volume * 0.45**3, rel=1e-5)


def test_inside_a_box_is_between_its_planes():
    mesh = trimesh.creation.box(extents=(0.9, 0.6, 0.3)).apply_translation((0.5, 0.5, 0.5))
    points = RNG.random((20000, 3))
    assert np.array_equal(
        contains(mesh, points), np.all(np.abs(points - 0.5) < np.array([0.45, 0.3, 0.15]), axis=1)
    )


def test_inside_an_icosphere_is_behind_all_its_faces(ball):
    mesh, _ = load_mesh(ball)
    points = draw_points(mesh, 2000, RNG).astype(np.float64)
    depths = np.einsum("fd,nfd->nf", mesh.face_normals, points[:, None] - mesh.triangles_center)
    assert np.array_equal(contains(mesh, points), depths.max(axis=1) < 0)


def test_inside_the_knot_by_winding_numbers():
    """The sum of the faces' solid angles (van Oosterom and Strackee 1983) is 4 pi inside and 0 outside."""
    mesh, _ = load_mesh(KNOT)
    points = draw_points(mesh, 200, RNG).astype(np.float64)
    a, b, c = np.moveaxis(mesh.triangles[None] - points[:, None, None], 2, 0)
    la, lb, lc = (np.linalg.norm(corner, axis=-1) for corner in (a, b, c))
    dots = ((a * b).sum(-1), (b * c).sum(-1), (c * a).sum(-1))
    below = la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb
    winding = np.arctan2((a * np.cross(b, c)).sum(-1), below).sum(axis=1) / (2 * math.pi)
    assert np.allclose(winding, np.rint(winding), atol=1e-9)
    assert np.array_equal(contains(mesh, points), winding > 0.5)


def test_a_hollow_ball_is_empty_inside():
    cavity = BALL.copy().apply_scale(0.5)
    cavity.invert()
    hollow = trimesh.util.concatenate([BALL, cavity])
    points = np.array([[0.0, 0, 0], [0.1, 0.2, 0.3], [0.7, 0, 0], [2, 0, 0]])
    assert contains(hollow, points).tolist() == [False, False, True, False]


def test_what_is_drawn(task):
    assert task.coordinates.shape == (1000, 3)
    assert task.values.shape == (1000, 1)
    assert task.held_out.shape == (1000, 3)
    assert task.coordinates.dtype == task.values.dtype == task.held_out_values.dtype == np.float32
    assert set(np.unique(task.values)) == {0, 1}
    assert task.channels == 1
    x = task.coordinates.astype(np.float64)
    assert x.min() >= 0
    assert x.max() <= 1
    radius = np.linalg.norm(x - 0.5, axis=1)
    assert np.std(radius[500:] - 0.45) == pytest.approx(NEAR, rel=0.2)
    assert np.mean(x[:500], axis=0) == pytest.approx(0.5, abs=0.06)
    assert np.std(x[:500], axis=0) == pytest.approx(math.sqrt(1 / 12), rel=0.1)
    assert np.mean(task.values[:500]) == pytest.approx(BALL.volume * 0.45**3, abs=0.08)


def test_the_seed_decides_the_points_to_learn_from_and_not_the_held_out_ones(ball, task):
    again, other = load_occupancy(ball, 1000), load_occupancy(ball, 1000, seed=1)
    assert np.array_equal(task.coordinates, again.coordinates)
    assert np.array_equal(task.values, again.values)
    assert not np.array_equal(task.coordinates, other.coordinates)
    assert np.array_equal(task.held_out, other.held_out)
    assert not np.isin(task.held_out, task.coordinates).all(axis=1).any()
    assert len(load_occupancy(ball, 9).coordinates) == 9


def test_iou_of_sets_made_by_hand():
    a, b = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 1, 1, 1, 0], dtype=bool)
    assert iou(a, b) == 2 / 4
    assert iou(a, a) == 1
    assert iou(a, ~a) == 0
    assert iou(a & ~a, a & ~a) == 1


def test_judgement_of_a_perfect_and_of_an_empty_network(task):
    def perfect(x):
        return contains(task.mesh, x)[:, None].astype(np.float32) - 0.5

    metrics, picture = task.judge(perfect(task.coordinates), perfect)
    assert (metrics["iou"], metrics["iou_uniform"]) == (1, 1)
    assert metrics["chamfer"] < 1 / 12
    assert picture.shape == (256, 256, 3)
    metrics, picture = task.judge(-np.ones_like(task.values), lambda x: -np.ones((len(x), 1), np.float32))
    assert metrics == {"iou": 0, "iou_uniform": 0}
    assert picture is None


def test_the_uniform_half_alone_is_the_ratio_of_volumes(task):
    def half(x):
        return np.where(contains(task.mesh, x) & (x[:, 0] < 0.5), 1, -1)[:, None].astype(np.float32)

    metrics, _ = task.judge(half(task.coordinates), half)
    assert metrics["iou_uniform"] == pytest.approx(0.5, abs=0.07)
    truth = task.held_out_values[:, 0] == 1
    assert metrics["iou"] == np.mean(task.held_out[truth, 0] < 0.5)


def test_training_lowers_the_cross_entropy_and_finds_the_ball(task):
    config = short(iterations=60)
    training = train(config, task)
    assert (config.task, config.inputs, config.outputs) == ("occupancy", 3, 1)
    for kept in training.snapshots:
        logits = predictor(training.model(kept))(task.coordinates).astype(np.float64)
        p = 1 / (1 + np.exp(-logits))
        naive = -np.mean(task.values * np.log(p) + (1 - task.values) * np.log(1 - p))
        assert kept.metrics["loss"] == pytest.approx(naive, rel=1e-9)
    end = training.snapshots[-1]
    assert end.metrics["loss"] < 0.3
    assert end.metrics["iou"] > 0.7
    assert end.picture.shape == (256, 256, 3)
    assert set(end.metrics) == {"loss", "iou", "iou_uniform", "chamfer"}


def test_the_same_seed_gives_the_same_bits(task):
    torch.manual_seed(1)
    one = train(short(), task)
    torch.manual_seed(2)
    two = train(short(), task)
    for first, second in zip(one.snapshots, two.snapshots, strict=True):
        assert first.metrics == second.metrics
        assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
        assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(one.curve.losses, two.curve.losses)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_on_meshes(name):
    config = resolve({"preset": name, "mesh": "ball.ply"})
    assert (config.task, config.inputs, config.outputs) == ("occupancy", 3, 1)
    assert config.finest == {"mpe-coarse": 16, "mpe-fine": 64}.get(name)
    assert type(config).from_dict(config.to_dict()) == config
    assert "side" not in config.to_dict()["task"]


def test_random_samples_are_half_uniform_and_half_near(task):
    rows = sample_points("random", task.coordinates, 101, seed=3)
    assert len(np.unique(rows)) == 101
    assert np.all(np.diff(rows) > 0)
    assert np.count_nonzero(rows < 500) == 51
    assert np.array_equal(rows, task.sample("random", 101, 3))
    assert not np.array_equal(rows, sample_points("random", task.coordinates, 101, seed=4))
    assert np.array_equal(sample_points("random", task.coordinates, 1000), np.arange(1000))
    for m, n in ((9, 9), (9, 8), (9, 1), (8, 7)):
        assert len(np.unique(sample_points("random", task.coordinates[:m], n))) == n


def test_patch_samples_are_neighbours_on_the_surface(task):
    rows = sample_points("patch", task.coordinates, 30)
    distances = np.linalg.norm(task.coordinates - task.coordinates[500], axis=1)
    assert 500 in rows
    assert set(rows) == set(np.argsort(distances)[:30])


def test_samples_that_cannot_be(task):
    for n in (0, 1001):
        with pytest.raises(UsageError, match="1 to 1000"):
            task.sample("random", n, 0)
    with pytest.raises(UsageError, match="random or patch for a mesh"):
        task.sample("grid", 10, 0)


def with_vertex(value):
    vertices = BALL.vertices.copy()
    vertices[3] = value
    return trimesh.Trimesh(vertices, BALL.faces, process=False)


def with_faces(faces):
    return trimesh.Trimesh(BALL.vertices, faces, process=False)


def one_turned():
    faces = BALL.faces.copy()
    faces[4] = faces[4][::-1]
    return with_faces(faces)


BAD = {
    "empty.ply": (b"", "readable mesh"),
    "empty.stl": (b"", "faces"),
    "text.ply": (b"hello\nworld\n", "readable mesh"),
    "text.txt": (b"hello", "readable mesh"),
    "truncated.ply": (KNOT.read_bytes()[:20000], "readable mesh"),
    "header.ply": (KNOT.read_bytes()[:60], "readable mesh"),
    "range.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "mesh"),
    "point.off": (b"OFF\n3 2 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n3 0 2 1\n", "mesh"),
    "cloud.ply": (trimesh.PointCloud(RNG.random((10, 3))), "faces"),
    "nan.ply": (with_vertex(np.nan), "NaN"),
    "inf.obj": (with_vertex(np.inf), "NaN or Inf"),
    "hole.ply": (with_faces(BALL.faces[1:]), "3 of 1920 edges.*repair"),
    "turned.ply": (one_turned(), "wound alike"),
    "sheet.ply": (trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 1]]), "volume"),
}


@pytest.mark.parametrize("name", BAD)
def test_meshes_that_cannot_be_learnt(tmp_path, name):
    content, words = BAD[name]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.export(path)
    with pytest.raises(UsageError, match=words) as caught:
        load_mesh(path)
    assert str(caught.value).startswith(f"{path}: expected ")
    assert "\n" not in str(caught.value)


def test_absent_files_and_folders(tmp_path):
    for path, words in ((tmp_path / "absent.ply", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(UsageError, match=words):
            load_mesh(path)


def test_faces_inwards_are_turned_and_scenes_are_merged(tmp_path):
    mesh, notes = load_mesh(save(tmp_path / "in.ply", with_faces(BALL.faces[:, ::-1])))
    assert mesh.volume > 0
    assert "turned round" in notes[0]
    scene = trimesh.Scene([BALL, BALL.copy().apply_translation((5, 0, 0))])
    mesh, _ = load_mesh(save(tmp_path / "two.glb", scene))
    assert mesh.body_count == 2


def test_without_embree_nothing_is_started(ball, monkeypatch):
    monkeypatch.setattr(occupancy.trimesh.ray, "has_embree", False)
    with pytest.raises(UsageError, match=r"Embree.*pip install"):
        load_mesh(ball)


def test_on_the_meshes_of_the_data_folder():
    if not os.environ.get("NTKSPEC_DATA"):
        pytest.skip("NTKSPEC_DATA is not set: no scanned meshes to read")
    for path in sorted((Path(os.environ["NTKSPEC_DATA"]) / "meshes").glob("*.ply")):
        task = load_occupancy(path, 4000)
        inside = np.mean(task.values[:2000])
        assert inside == pytest.approx(task.mesh.volume, abs=4 * math.sqrt(inside / 2000)), path
        assert task.truth.min() < 128
