"""Meshes of several bodies: inside is what a formula says, whatever their faces share."""

import functools

import needs
import numpy as np
import pytest
import trimesh

from ntkspec.errors import UsageError
from ntkspec.nets.inside import contains, sample_surface
from ntkspec.nets.occupancy import draw_points, load_mesh, load_occupancy

pytestmark = needs.embree
BALL = trimesh.creation.icosphere(subdivisions=2)
FINE = trimesh.creation.icosphere(subdivisions=4)
BOX = trimesh.creation.box()
TURN = trimesh.transformations.rotation_matrix(0.4, [1, 2, 3])
OVERLAP, TURNED = "across or within others", "inwards: turned round"


def ball(at=0.0, radius=1.0):
    return BALL.copy().apply_scale(radius).apply_translation((at, 0, 0))


def box(low, high):
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    return BOX.copy().apply_scale(high - low).apply_translation((low + high) / 2)


def other_diagonals(mesh):
    """The same box with every side cut along the other diagonal."""
    mirrored = mesh.copy().apply_transform(np.diag([-1, 1, 1, 1]))
    return mirrored.apply_translation((mesh.bounds.sum(axis=0)[0], 0, 0))


def inverted(mesh):
    mesh = mesh.copy()
    mesh.invert()
    return mesh


def lathe(across, height, around=96):
    """A profile (ring by ring) turned about z; its points counter-clockwise, for faces outwards."""
    angle = np.arange(around) / around * 2 * np.pi
    x, y = np.cos(angle)[:, None] * across, np.sin(angle)[:, None] * across
    vertices = np.stack([x, y, np.broadcast_to(height, x.shape)], axis=-1).reshape(-1, 3)
    ring, step = np.indices((around, len(across)))
    corner = [
        (ring + i) % around * len(across) + (step + j) % len(across)
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    a, b, c, d = (part.ravel() for part in corner)
    return trimesh.Trimesh(
        vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), process=False
    )


TIMES = np.arange(96) / 96 * 2 * np.pi


def torus(large, small):
    return lathe(large + small * np.cos(TIMES), small * np.sin(TIMES))


def torus_depth(large, small):
    return lambda p: small - np.hypot(np.hypot(p[:, 0], p[:, 1]) - large, p[:, 2])


def depth(mesh):
    """How deep points lie in a convex mesh: behind all of its faces."""
    normals, offsets = mesh.face_normals, (mesh.face_normals * mesh.triangles_center).sum(axis=1)
    sign = np.sign(mesh.volume)
    return lambda p: (sign * (offsets - p @ normals.T)).min(axis=1)


def union(*depths):
    return lambda p: functools.reduce(np.maximum, (inside(p) for inside in depths))


def without(solid, *cavities):
    return lambda p: functools.reduce(np.minimum, (-cavity(p) for cavity in cavities), solid(p))


CASES = {}  # name: (meshes, depth: positive inside, words of the notes, tolerance)


def add(name, meshes, inside=None, *notes, tolerance=1e-4):
    CASES[name] = (meshes, inside or union(*map(depth, meshes)), notes, tolerance)


def overlapping_bodies():
    add("one", [ball()])
    add("two-balls", [ball(-0.5), ball(0.5)], None, OVERLAP)
    add("three-balls", [ball(-0.5), ball(0.5), ball(0, 1.2)], None, OVERLAP)
    add("ten-balls", [ball(0.3 * number) for number in range(10)], None, OVERLAP)
    add("box-and-ball", [ball(), box((0, 0, 0), (2, 1, 1))], None, OVERLAP)
    bars = [box((-3, -1, -1), (3, 1, 1)), box((-1, -3, -1), (1, 3, 1)), box((-1, -1, -3), (1, 1, 3))]
    add("bars-with-faces-in-one-plane", bars[:2], None, OVERLAP)
    add("three-bars", bars, None, OVERLAP)
    add("slightly", [ball(-0.95), ball(0.95)], None, OVERLAP)
    add("apart", [ball(-2), ball(2), box((0, 2, 0), (1, 3, 1))], None)
    add(
        "lattice",
        [ball(3 * x, 1 + 0.1 * y).apply_translation((0, 4 * y, 0)) for x in range(8) for y in range(5)],
    )
    add("copy", [ball(), ball()], None, OVERLAP)
    add("three-copies", [box((0, 0, 0), (1, 2, 3))] * 3, None, OVERLAP)
    add(
        "copy-cut-otherwise",
        [box((0, 0, 0), (1, 2, 3)), other_diagonals(box((0, 0, 0), (1, 2, 3)))],
        None,
        OVERLAP,
    )
    add("common-base", [box((0, 0, 0), (1, 1, 1)), box((0, 0, 0), (1, 1, 2))], None, OVERLAP)
    add("common-corner", [box((0, 0, 0), (1, 1, 1)), box((0, 0, 0), (2, 2, 2))], None, OVERLAP)
    add("within", [ball(), ball(0.2, 0.5)], None, OVERLAP)
    add("copies-apart", [ball(-2), ball(-2), ball(2)], None, OVERLAP)


def touching_bodies():
    one = box((0, 0, 0), (1, 1, 1))
    for name, other in {
        "face": box((1, 0, 0), (2, 1, 1)),
        "face-cut-otherwise": other_diagonals(box((1, 0, 0), (2, 1, 1))),
        "part-of-face": box((1, 0.2, 0.3), (2, 0.7, 0.9)),
        "larger-face": box((1, -1, -2), (2, 2, 3)),
        "edge": box((1, 1, 0), (2, 2, 1)),
        "part-of-edge": box((1, 1, 0.2), (2, 2, 3)),
        "vertex": box((1, 1, 1), (2, 2, 2)),
    }.items():
        add(f"touch-in-{name}", [one, other])
        add(f"touch-in-{name}-one-inwards", [one, inverted(other)], None, TURNED)
    steps = [box((x, y, z), (x + 1, y + 1, z + 1)) for x in range(3) for y in range(3) for z in range(3)]
    add("cubes", steps)
    add("chessboard", [step for number, step in enumerate(steps) if number % 2])


def cavities():
    outer, inner = ball(), ball(0.2, 0.5)
    hollow = without(depth(outer), depth(inner))
    add("cavity", [outer, inverted(inner)], hollow)
    add("all-inwards", [inverted(outer), inner], hollow, TURNED)
    add("one-inwards", [inverted(outer)], None, TURNED)
    add("both-inwards", [inverted(outer), inverted(inner)], depth(outer), TURNED, OVERLAP)
    add("island", [outer, inverted(inner), ball(0.2, 0.2)], union(hollow, depth(ball(0.2, 0.2))))
    filled = [outer, inverted(inner), box((0, 0, 0), (2, 0.3, 0.3))]
    add("reached-into", filled, union(hollow, depth(filled[2])), OVERLAP)
    small = [ball(-0.2, 0.4), ball(0.2, 0.4)]
    two = without(depth(outer), *map(depth, small))
    add("two-cavities-that-overlap", [outer, *map(inverted, small)], two)
    add("cavity-and-copy", [outer, inverted(inner), inverted(inner)], hollow)
    add("copy-of-all", [outer, inverted(inner)] * 2, hollow, OVERLAP)
    far = [ball(5), ball(5, 0.5)]
    both = union(hollow, without(depth(far[0]), depth(far[1])))
    add(
        "a-hollow-one-inwards",
        [outer, inverted(inner), inverted(far[0]), far[1]],
        both,
        "2 of 4 bodies",
        TURNED,
    )
    add("overlap-one-inwards", [ball(-0.6), inverted(ball(0.6, 0.9))], None, "1 of 2 bodies", TURNED, OVERLAP)
    for thickness in (0.02, 0.002):
        walls = [ball(), ball(0, 1 - thickness)]
        add(f"shell-{thickness}", [walls[0], inverted(walls[1])], without(*map(depth, walls)), tolerance=3e-5)
    cube, corner = box((0, 0, 0), (2, 2, 2)), box((0, 0, 0), (1, 1, 1))
    add("cavity-in-the-corner", [cube, inverted(corner)], without(depth(cube), depth(corner)))
    side = box((0.5, 0.5, 0), (1.5, 1.5, 1))
    add("cavity-at-a-side", [cube, inverted(side)], without(depth(cube), depth(side)))


def bodies_that_are_not_convex():
    rounded = 4e-3
    add("torus", [torus(2, 0.7)], torus_depth(2, 0.7), tolerance=rounded)
    add("spindle-torus", [torus(0.6, 1)], spindle_depth, tolerance=rounded)
    linked = torus(2, 0.7).apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    linked.apply_translation((2, 0, 0))
    other = torus_depth(2, 0.7)
    add("linked-tori", [torus(2, 0.7), linked],
        union(other, lambda p: other(p[:, [0, 2, 1]] - [2, 0, 0])), tolerance=rounded)  # fmt: skip
    add(
        "torus-and-ball",
        [torus(2, 0.7), ball(2, 1)],
        union(other, depth(ball(2, 1))),
        OVERLAP,
        tolerance=rounded,
    )
    pipe = [torus(2, 0.7), inverted(torus(2, 0.4))]
    add("hollow-torus", pipe, without(other, torus_depth(2, 0.4)), tolerance=rounded)
    for name, shift, notes, words in (("crossing", 0.01, (), "itself"), ("pinched", 0, [TURNED], OVERLAP)):
        times = TIMES + shift  # without it, the crossing is a vertex, where the surface falls apart
        radius = 0.5 + np.cos(times)  # a limacon, wound twice round what is in its loop
        loop = lathe(3 + radius * np.cos(times), radius * np.sin(times))
        add(f"loop-{name}", [loop], limacon_depth, words, tolerance=2 * rounded)
        eight = lathe(3 + np.cos(times), np.sin(times) * np.cos(times))
        add(f"figure-of-eight-{name}", [eight], lemniscate_depth, *notes, tolerance=0.02)


def spindle_depth(p):
    """Where the profile's half beyond the axis overlaps the other, they are wound against each other."""
    across = np.hypot(p[:, 0], p[:, 1])
    near, far = np.hypot(across - 0.6, p[:, 2]), np.hypot(across + 0.6, p[:, 2])
    return np.minimum(1 - near, far - 1)


def limacon_depth(p):
    x, z = np.hypot(p[:, 0], p[:, 1]) - 3, p[:, 2]
    return 0.5 + x / np.hypot(x, z) - np.hypot(x, z)


def lemniscate_depth(p):
    """One of its lobes is wound round forwards, the other backwards."""
    x = np.hypot(p[:, 0], p[:, 1]) - 3
    return x**2 * (1 - x**2) - p[:, 2] ** 2


for make in (overlapping_bodies, touching_bodies, cavities, bodies_that_are_not_convex):
    make()


def check(path, meshes, inside, notes, tolerance):
    """Compare the labels of 4000 points with the formula, but for points at the surface."""
    mesh, said = load_mesh(path)
    points = draw_points(mesh, 4000, np.random.default_rng(0)).astype(float)
    low = np.min([part.bounds[0] for part in meshes], axis=0)
    high = np.max([part.bounds[1] for part in meshes], axis=0)
    deep = inside((points - 0.5) * (high - low).max() / 0.9 + (low + high) / 2)
    clear = np.abs(deep) > tolerance
    assert np.mean(clear) > 0.9
    assert np.array_equal(contains(mesh, points)[clear], deep[clear] > 0)
    assert len(said) == len({words for words in notes if words in (OVERLAP, TURNED) or "itself" in words})
    for words in notes:
        assert any(words in note for note in said), said


@pytest.mark.parametrize("name", CASES)
def test_inside_is_what_the_formula_says(tmp_path, name):
    meshes, *truth = CASES[name]
    trimesh.util.concatenate(meshes).export(tmp_path / "mesh.stl")
    check(tmp_path / "mesh.stl", meshes, *truth)


@pytest.mark.parametrize("format", ["ply", "off", "obj", "glb"])
@pytest.mark.parametrize("name", ["two-balls", "cavity", "touch-in-face"])
def test_formats(tmp_path, name, format):
    meshes, *truth = CASES[name]
    whole = trimesh.Scene(meshes) if format in ("glb", "obj") else trimesh.util.concatenate(meshes)
    whole.export(tmp_path / f"mesh.{format}")
    check(tmp_path / f"mesh.{format}", meshes, *truth)


@pytest.mark.parametrize("mirrored", [False, True])
def test_scenes_with_transforms(tmp_path, mirrored):
    """One geometry in three places, one of them mirrored; a cavity keeps being one."""
    hollow = trimesh.util.concatenate(
        [box((-1, -1, -1), (1, 1, 1)), inverted(box((-0.5, -0.4, -0.3), (0.6, 0.7, 0.8)))]
    )
    places = [TURN, TURN @ np.diag([-1.0 if mirrored else 1.0, 1, 2, 1]), np.diag([0.5, 0.5, 0.5, 1])]
    for place, at in zip(places, ((0, 0, 0), (1.5, 0.5, 0), (5, 0, 0)), strict=True):
        place[:3, 3] = at
    scene = trimesh.Scene()
    meshes, depths = [], []
    for place in places:
        scene.add_geometry(hollow, geom_name="hollow", transform=place)
        meshes.append(hollow.copy().apply_transform(place))
        walls = [part.copy().apply_transform(place) for part in hollow.split()]
        depths.append(without(*map(depth, sorted(walls, key=lambda part: -abs(part.volume)))))
    scene.export(tmp_path / "scene.glb")
    check(tmp_path / "scene.glb", meshes, union(*depths), [OVERLAP], 1e-4)


def test_degenerate_faces_do_not_matter(tmp_path):
    mesh = trimesh.util.concatenate([ball(-0.5), ball(0.5)])
    a, b, c = mesh.faces[7]
    middle = len(mesh.vertices)  # on the side from b to c, of which a face without area remains
    vertices = np.concatenate([mesh.vertices, [(mesh.vertices[b] + mesh.vertices[c]) / 2]])
    faces = np.concatenate(
        [np.delete(mesh.faces, 7, axis=0), [[a, b, middle], [a, middle, c], [b, c, middle], [a, a, b]]]
    )
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "mesh.ply")
    meshes, *truth = CASES["two-balls"]
    check(tmp_path / "mesh.ply", meshes, *truth)


def test_what_encloses_nothing_is_left_out(tmp_path):
    sheet = trimesh.Trimesh([[3, 0, 0], [4, 0, 0], [3, 1, 0]], [[0, 1, 2], [0, 2, 1]])
    mesh, notes = load_mesh_of(tmp_path, [ball(), sheet])
    assert len(mesh.faces) == len(BALL.faces)
    assert notes == ()
    with pytest.raises(UsageError, match="encloses a volume"):
        load_mesh_of(tmp_path, [ball(), inverted(ball())])


def load_mesh_of(folder, meshes):
    trimesh.util.concatenate(meshes).export(folder / "mesh.ply")
    return load_mesh(folder / "mesh.ply")


def test_a_plate_thinner_than_a_step_has_a_surface(tmp_path):
    mesh, _ = load_mesh_of(tmp_path, [box((0, 0, 0), (1, 1, 2e-6)), box((0, 0, 0.5), (1, 1, 1))])
    assert len(sample_surface(mesh, 100, np.random.default_rng(0))) == 100


def test_an_open_body_among_closed_ones_is_refused(tmp_path):
    bowl = trimesh.Trimesh(BALL.vertices + 5, BALL.faces[1:], process=False)
    with pytest.raises(UsageError, match=r"3 of 960 edges"):
        load_mesh_of(tmp_path, [ball(), bowl])


@pytest.mark.parametrize("name", ["two-balls", "touch-in-part-of-face", "within", "cavity"])
def test_surfaces_are_those_of_the_union(tmp_path, name):
    meshes, inside = CASES[name][:2]
    mesh, _ = load_mesh_of(tmp_path, meshes)
    points = sample_surface(mesh, 3000, np.random.default_rng(0))
    low, high = (np.array([part.bounds for part in meshes])[:, i] for i in (0, 1))
    low, high = low.min(axis=0), high.max(axis=0)
    scale = (high - low).max() / 0.9
    assert len(points) == 3000
    assert np.abs(inside((points - 0.5) * scale + (low + high) / 2)).max() < 1e-3


def test_a_network_that_knows_the_union_is_judged_perfect(tmp_path):
    fine = [FINE.copy().apply_translation((x, 0, 0)) for x in (-0.5, 0.5)]
    trimesh.util.concatenate(fine).export(tmp_path / "mesh.stl")
    task = load_occupancy(tmp_path / "mesh.stl", 2000, resolution=24)

    def perfect(x):
        at = np.linalg.norm(x[:, None] - [[0.35, 0.5, 0.5], [0.65, 0.5, 0.5]], axis=2)
        return (0.3 - at.min(axis=1))[:, None].astype(np.float32)

    metrics, _ = task.judge(perfect(task.coordinates), perfect)
    assert metrics["iou"] > 0.97
    assert metrics["chamfer"] < 0.008
