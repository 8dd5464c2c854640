"""Surfaces of networks: their place, their distance and their looks, against definitions."""

import needs
import numpy as np
import pytest
import trimesh

from ntkspec.nets.surface import View, chamfer, extract_surface, render


def ball(radius, centre=(0.5, 0.5, 0.5)):
    return lambda x: radius**2 - ((x - np.array(centre, np.float32)) ** 2).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("resolution", [24, 45])  # 25^3 points are one piece, 46^3 two
def test_the_surface_of_a_ball(resolution):
    surface = extract_surface(ball(0.3, (0.5, 0.4, 0.6)), resolution)
    radius = np.linalg.norm(surface.vertices - (0.5, 0.4, 0.6), axis=1)
    assert radius == pytest.approx(0.3, abs=0.3 / resolution**2 * 4)
    assert surface.is_watertight
    assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)  # positive: faces outwards


def test_a_surface_that_leaves_the_box_is_open():
    surface = extract_surface(lambda x: 0.5 - x[:, :1], 8)
    assert np.allclose(surface.vertices[:, 0], 0.5)
    assert surface.area == pytest.approx(1)
    assert not surface.is_watertight


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_no_surface(value):
    assert extract_surface(lambda x: np.full((len(x), 1), value, np.float32), 4) is None


def test_chamfer_is_the_mean_of_both_means():
    a, b = trimesh.creation.icosphere(2), trimesh.creation.box()
    on_a, on_b = (
        trimesh.sample.sample_surface(mesh, 50, seed=np.random.default_rng((7, number)))[0]
        for number, mesh in enumerate((a, b))
    )
    there = [min(np.linalg.norm(p - q) for q in on_b) for p in on_a]
    back = [min(np.linalg.norm(p - q) for q in on_a) for p in on_b]
    expected = (np.mean(there) + np.mean(back)) / 2
    assert chamfer(a, b, points=50, seed=7) == pytest.approx(expected, rel=1e-12)


def test_chamfer_of_concentric_balls_and_of_one_surface():
    one = trimesh.creation.icosphere(4)
    assert chamfer(one, one.copy().apply_scale(1.2)) == pytest.approx(0.2, rel=0.03)
    expected = 0.5 * np.sqrt(one.area / 4096)
    assert chamfer(one, one, points=4096) == pytest.approx(expected, rel=0.05)
    assert chamfer(one, one, points=4096) == chamfer(one, one.copy(), points=4096)


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (25, 15), (205, -40)])
def test_axes_are_a_right_handed_frame(up, azimuth, elevation):
    right, top, back = View(up, azimuth, elevation).axes()
    assert np.allclose(np.stack([right, top, back]) @ np.stack([right, top, back]).T, np.eye(3))
    assert np.allclose(np.cross(right, top), back)
    assert right["xyz".index(up)] == pytest.approx(0)
    assert top["xyz".index(up)] > 0


@needs.embree
@pytest.mark.parametrize(
    ("view", "place"),
    [
        (View("y", 0, 0), (0.75, 0.75, 0.5)),  # the front of y-up faces +z: x to the right, y upwards
        (View("z", 0, 0), (0.75, 0.5, 0.75)),  # the front of z-up faces -y: x to the right, z upwards
        (View("y", 180, 0), (0.25, 0.75, 0.5)),
        (View("y", 90, 0), (0.5, 0.75, 0.25)),  # from +x: -z to the right
    ],
)
def test_where_things_are_drawn(view, place):
    """Each ball stands in the upper right quarter of its picture, a quarter of the box off the centre."""
    small = trimesh.creation.icosphere(3, radius=0.1).apply_translation(place)
    picture = render(small, 130, view)
    rows, columns = np.nonzero(picture.min(axis=2) < 255)
    assert picture.shape == (130, 130, 3)
    assert picture.dtype == np.uint8
    assert rows.mean() == pytest.approx(64.5 - 25, abs=1)  # 130 pixels are 1.3 boxes
    assert columns.mean() == pytest.approx(64.5 + 25, abs=1)
    assert np.count_nonzero(picture.min(axis=2) < 255) == pytest.approx(np.pi * 10**2, rel=0.1)


@needs.embree
def test_shading_is_smooth_and_white_around():
    picture = render(trimesh.creation.icosphere(4, radius=0.4).apply_translation((0.5, 0.5, 0.5)), 64)
    assert np.all(picture[0] == 255)
    middle = picture[32, 20:44].astype(int)
    assert middle.max() < 255
    assert np.abs(np.diff(middle, axis=0)).max() < 12
    assert np.array_equal(
        picture, render(trimesh.creation.icosphere(4, radius=0.4).apply_translation((0.5,) * 3), 64)
    )


@needs.embree
def test_a_mesh_out_of_sight_is_white():
    away = trimesh.creation.icosphere(1).apply_translation((50, 0, 0))
    assert np.all(render(away, 16) == 255)
