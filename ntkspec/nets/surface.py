"""Surfaces of networks: where their logits are zero as a mesh, its distance to the truth, and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from ntkspec.nets.task import Picture, Predict

Up = Literal["y", "z"]
Floats = NDArray[np.float64]

PIECE = 2**16  # lattice points evaluated at a time
SUPERSAMPLING = 2  # rays a pixel and axis
COLOUR = np.array([0.62, 0.71, 0.82])  # of the surface, RGB in [0, 1]
AMBIENT, HEADLIGHT, KEY = 0.22, 0.33, 0.50  # shares of the light
KEY_DIRECTION = np.array([-0.5, 0.6, 0.62])  # to the right, upwards, towards the camera
FRONTS: dict[Up, Floats] = {"y": np.array([0.0, 0.0, 1.0]), "z": np.array([0.0, -1.0, 0.0])}
UPS: dict[Up, Floats] = {"y": np.array([0.0, 1.0, 0.0]), "z": np.array([0.0, 0.0, 1.0])}


@dataclass(frozen=True)
class View:
    """An orthographic camera that looks at the centre of the unit box.

    With the default width, any mesh that `ntkspec.nets.occupancy.load_mesh` returns is in the picture as a
    whole, from every direction, so that pictures of one object have the same scale.
    """

    up: Up = "y"  # the axis that points up; the front then faces +z, or -y where z is up
    azimuth: float = 25.0  # degrees from the front, to its right
    elevation: float = 15.0  # degrees above the horizon
    width: float = 1.3  # of the picture, in units of the box

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Return unit vectors to the picture's right, to its top and towards the camera."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        front, up = FRONTS[self.up], UPS[self.up]
        side = np.cross(up, front)
        right = math.cos(azimuth) * side - math.sin(azimuth) * front
        horizontal = math.cos(azimuth) * front + math.sin(azimuth) * side
        back = math.cos(elevation) * horizontal + math.sin(elevation) * up
        return right, np.cross(back, right), back


def extract_surface(predict: Predict, resolution: int) -> trimesh.Trimesh | None:
    """Return the surface where a network's logit is zero, by marching cubes (Lorensen and Cline 1987).

    Args:
        predict: (n, 3) in [0, 1] -> logits (n, 1), positive inside, e.g. `training.predictor(model)`.
        resolution: cells an axis, at least 1; the network is taken at (resolution + 1)^3 nodes, in pieces.

    Returns:
        A mesh in [0, 1]^3, its faces outwards, open where the inside touches the box; None if there is none.

    >>> ball = extract_surface(lambda x: 0.09 - ((x - 0.5) ** 2).sum(axis=1, keepdims=True), 32)
    >>> round(float(ball.extents[0]), 2)
    0.6
    """
    logits = _lattice(predict, resolution)
    if not logits.min() < 0 < logits.max():
        return None
    spacing = (1 / resolution,) * 3
    vertices, faces, _, _ = marching_cubes(logits, level=0.0, spacing=spacing, gradient_direction="ascent")  # type: ignore[no-untyped-call]  # untyped there
    surface = trimesh.Trimesh(np.clip(vertices, 0, 1), faces, process=False)
    return surface if surface.area > 0 else None


def _lattice(predict: Predict, resolution: int) -> NDArray[np.float32]:
    """Evaluate logits at all nodes, indexed [x, y, z]."""
    shape = (resolution + 1,) * 3
    logits = np.empty(math.prod(shape), dtype=np.float32)
    for start in range(0, logits.size, PIECE):
        rows = np.arange(start, min(start + PIECE, logits.size))
        nodes = np.stack(np.unravel_index(rows, shape), axis=1)
        logits[rows] = predict((nodes / resolution).astype(np.float32))[:, 0]
    return logits.reshape(shape)


Sampler = Callable[[trimesh.Trimesh, int, np.random.Generator], Floats]


def _sample_faces(mesh: trimesh.Trimesh, n: int, generator: np.random.Generator) -> Floats:
    return np.asarray(trimesh.sample.sample_surface(mesh, n, seed=generator)[0])


def chamfer(
    a: trimesh.Trimesh,
    b: trimesh.Trimesh,
    *,
    points: int = 2**14,
    seed: int = 0,
    sample_b: Sampler = _sample_faces,
) -> float:
    """Compute the symmetric Chamfer distance of two surfaces, in their units: for networks, the unit box's.

    (mean_i min_j |a_i - b_j| + mean_j min_i |b_j - a_i|) / 2 over points that are uniform on either surface;
    distances are not squared. Two samples of one surface of area A are about 0.5 sqrt(A / points) apart,
    which is the smallest value to expect.

    Args:
        a, b: meshes with faces.
        points: on each surface.
        seed: of these.
        sample_b: draws points uniformly on what of b counts; default: on all of its faces.
    """
    on_a = _sample_faces(a, points, np.random.default_rng((seed, 0)))
    on_b = sample_b(b, points, np.random.default_rng((seed, 1)))
    from_a, from_b = cKDTree(on_b).query(on_a)[0], cKDTree(on_a).query(on_b)[0]
    return float((from_a.mean() + from_b.mean()) / 2)


def render(mesh: trimesh.Trimesh, side: int = 256, view: View | None = None) -> Picture:
    """Draw a shaded picture of a mesh in the unit box, on white: uint8 (side, side, 3).

    Orthographic rays, four a pixel, through Embree; lit by normals interpolated between the vertices.

    Args:
        mesh: its faces outwards.
        side: pixels a side.
        view: the camera; None: `View()`.
    """
    view = view or View()
    right, up, back = view.axes()
    fine = side * SUPERSAMPLING
    axis = ((np.arange(fine) + 0.5) / fine - 0.5) * view.width
    origins = 0.5 + 2 * back + axis[None, :, None] * right - axis[:, None, None] * up
    origins = origins.reshape(-1, 3)
    face = mesh.ray.intersects_first(origins, np.broadcast_to(-back, origins.shape))
    hit = np.flatnonzero(face >= 0)
    colours = np.ones((fine * fine, 3))
    if len(hit):
        normals = _normals(mesh, face[hit], origins[hit], -back)
        key = KEY_DIRECTION @ np.stack([right, up, back]) / np.linalg.norm(KEY_DIRECTION)
        light = AMBIENT + HEADLIGHT * np.abs(normals @ back) + KEY * np.clip(normals @ key, 0, None)
        colours[hit] = np.clip(light[:, None] * COLOUR * 1.15, 0, 1)
    pixels = colours.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING, 3).mean(axis=(1, 3))
    picture: Picture = np.rint(pixels * 255).astype(np.uint8)
    return picture


def _normals(mesh: trimesh.Trimesh, face: NDArray[np.int64], origins: Floats, direction: Floats) -> Floats:
    """Return unit normals where rays hit their faces, interpolated between the faces' vertices."""
    plane = mesh.face_normals[face]
    corner = mesh.triangles[face, 0]
    steep = plane @ direction
    distance = ((corner - origins) * plane).sum(axis=1) / np.where(steep == 0, 1, steep)
    points = origins + distance[:, None] * direction
    weights = trimesh.triangles.points_to_barycentric(mesh.triangles[face], points)  # type: ignore[no-untyped-call]  # untyped there
    normals = np.einsum("nk,nkd->nd", np.clip(weights, 0, 1), mesh.vertex_normals[mesh.faces[face]])
    return np.asarray(trimesh.unitize(normals))
