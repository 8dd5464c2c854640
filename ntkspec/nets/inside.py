"""Inside and outside of closed meshes: rays count how often each body winds around a point."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import trimesh
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.nets.bodies import Labels, find_bodies, find_edges, volumes

Floats = NDArray[np.float64]

CROSSINGS = 10_000  # of a ray with the mesh; trimesh stops at 100 unless told
LEAST_VOLUME = 1e-9  # of the unit box; a body of less is a sheet
DIRECTIONS = np.array(
    [[0.44, 0.62, 0.65], [-0.71, 0.27, 0.65], [0.36, -0.83, 0.42]]
)  # along no axis or diagonal
STEP = 1e-5  # from a surface to points beside it; a ray may miss what is within 1e-6
PROBES = 2**13  # points beside the surface that tell whether bodies overlap or touch
RARE = 1e-3  # share of them that says nothing: rounding at edges


@dataclass(frozen=True)
class _Layer:
    """Solid bodies, or cavities, that are apart from each other, so that no ray meets two faces at once."""

    mesh: trimesh.Trimesh
    sign: int  # 1: solid, -1: cavities


@dataclass(frozen=True)
class _Probe:
    """What was found at points just beside the surface."""

    overlaps: bool  # bodies share room with others or themselves
    hides: bool  # a part of the surface has the inside on both of its sides


def contains(mesh: trimesh.Trimesh, points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether points (n, 3) lie inside, that is, in more bodies than cavities.

    A point lies in a body if the body's surface winds around it: a ray from the point leaves the body more
    often than it enters, or less often. Cavities are bodies whose faces are turned inwards.

    Rounding loses a crossing now and then, where a ray grazes an edge. Two rays therefore start at every
    point, and a third where they disagree. trimesh's own `contains` draws it at random; here the same points
    always have the same answer.

    Args:
        mesh: closed, cavities apart with its faces outwards.
        points: in the mesh's coordinates.

    Raises:
        UsageError: Embree is missing. Without it, this would take hours and more memory than there is.
    """
    check_embree()
    return _cover(_layers(mesh), points) > 0


def check_embree() -> None:
    """Raise UsageError if Embree is not installed."""
    if not trimesh.ray.has_embree:
        raise UsageError(
            "meshes",
            expected="the ray tracer Embree",
            got="no module 'embreex' that can be loaded",
            remedy='run: pip install "ntkspec[torch]"',
        )


def turn_outwards(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, int, int]:
    """Turn outwards the faces of bodies that have them inwards, and those of the bodies inside them.

    A body with its faces inwards that lies inside another is a cavity and is left as it is, if the outermost
    body around it has its faces outwards.

    Returns:
        The mesh without bodies that enclose nothing, the number of its bodies, and of those turned.
    """
    labels = find_bodies(mesh.vertices, mesh.faces, find_edges(mesh.faces))
    volume = volumes(mesh, labels)
    solid = np.abs(volume) >= LEAST_VOLUME
    inwards = solid & (volume < 0)
    if inwards.any() and not inwards[solid].all():
        inwards = solid & (volume[_outermost(mesh, labels, volume)] < 0)
    faces = np.where(inwards[labels][:, None], mesh.faces[:, ::-1], mesh.faces)
    if inwards.any() or not solid.all():
        mesh = trimesh.Trimesh(mesh.vertices, faces[solid[labels]], process=False)
    return mesh, int(solid.sum()), int(inwards.sum())


def _outermost(mesh: trimesh.Trimesh, labels: Labels, volume: Floats) -> NDArray[np.int64]:
    """Return, for each body, the largest body in which it lies wholly; or itself."""
    size = np.abs(volume)
    turned = np.where(volume[labels] < 0, -1.0, 1.0)[:, None]
    within = mesh.triangles_center - STEP / 10 * turned * mesh.face_normals  # as it may touch the other
    low, high = _boxes(mesh, labels)
    faces = np.bincount(labels)
    outermost = np.arange(len(volume))
    for body in np.argsort(size):  # so that the largest is kept
        nested = (size < size[body]) & np.all((low >= low[body]) & (high <= high[body]), axis=1)
        if size[body] >= LEAST_VOLUME and nested.any():
            near = np.flatnonzero(nested[labels])
            covered = near[_vote(_part(mesh, labels == body), within[near])]
            outermost[np.bincount(labels[covered], minlength=len(size)) > (1 - RARE) * faces] = body
    return outermost


def has_overlaps(mesh: trimesh.Trimesh) -> bool:
    """Return whether bodies of a mesh, faces outwards, overlap each other or themselves."""
    return _probe(mesh).overlaps


def sample_surface(mesh: trimesh.Trimesh, n: int, generator: np.random.Generator) -> Floats:
    """Draw points (n, 3), uniform on the faces that are not hidden where bodies touch or overlap."""
    if not _probe(mesh).hides:
        return np.asarray(trimesh.sample.sample_surface(mesh, n, seed=generator)[0])
    points = np.empty((0, 3))
    while len(points) < n:
        drawn, below, above = _beside(mesh, n, generator)
        hidden = contains(mesh, below) & contains(mesh, above)
        points = np.concatenate([points, drawn[~hidden]])
    return points[:n]


@lru_cache(maxsize=2)  # by its content, which trimesh hashes
def _probe(mesh: trimesh.Trimesh) -> _Probe:
    _, below, above = _beside(mesh, PROBES, np.random.default_rng(0))
    times = np.array(  # of two rays the lower count, since rounding has no part in it
        [[_times(mesh, side, direction) for direction in DIRECTIONS[:2]] for side in (below, above)]
    ).min(axis=1)
    overlaps, hides = np.any(times > 1, axis=0), np.all(times > 0, axis=0)
    return _Probe(bool(np.mean(overlaps) > RARE), bool(np.mean(hides) > RARE))


def _beside(mesh: trimesh.Trimesh, n: int, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Draw n uniform points on all faces; return them, and points just below and above them."""
    points, face = trimesh.sample.sample_surface(mesh, n, seed=generator)[:2]
    step = STEP * mesh.face_normals[face]
    return points, points - step, points + step


def _times(mesh: trimesh.Trimesh, points: Floats, direction: Floats) -> NDArray[np.int64]:
    """Return in how many bodies points lie, minus the number of cavities."""
    times = np.zeros(len(points), dtype=np.int64)
    for layer in _layers(mesh):
        times += layer.sign * np.abs(_winding(layer.mesh, points, direction))
    return times


@lru_cache(maxsize=2)
def _layers(mesh: trimesh.Trimesh) -> tuple[_Layer, ...]:
    """Sort the bodies into few layers: each goes to the first whose bounding boxes do not meet its own."""
    labels = find_bodies(mesh.vertices, mesh.faces, find_edges(mesh.faces))
    volume = volumes(mesh, labels)
    if len(volume) == 1:
        return (_Layer(mesh, 1 if volume[0] > 0 else -1),)
    low, high = _boxes(mesh, labels)
    chosen: list[tuple[int, list[int]]] = []
    for body in np.flatnonzero(np.abs(volume) >= LEAST_VOLUME):
        sign = 1 if volume[body] > 0 else -1
        for other, bodies in chosen:
            apart = (high[body] < low[bodies] - STEP) | (low[body] > high[bodies] + STEP)
            if other == sign and apart.any(axis=1).all():
                bodies.append(int(body))
                break
        else:
            chosen.append((sign, [int(body)]))
    return tuple(_Layer(_part(mesh, np.isin(labels, bodies)), sign) for sign, bodies in chosen)


def _boxes(mesh: trimesh.Trimesh, labels: Labels) -> tuple[Floats, Floats]:
    """Return the lowest and the highest corner of every body, (b, 3) each."""
    low = np.full((labels.max() + 1, 3), np.inf)
    high = -low
    np.minimum.at(low, labels, mesh.triangles.min(axis=1))
    np.maximum.at(high, labels, mesh.triangles.max(axis=1))
    return low, high


def _part(mesh: trimesh.Trimesh, chosen: NDArray[np.bool_]) -> trimesh.Trimesh:
    """Return the chosen faces as a mesh of their own."""
    used, faces = np.unique(mesh.faces[chosen], return_inverse=True)
    return trimesh.Trimesh(mesh.vertices[used], faces.reshape(-1, 3), process=False)


def _cover(layers: tuple[_Layer, ...], points: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return in how many bodies points (n, 3) lie, minus the number of cavities, by majority of rays."""
    cover = np.zeros(len(points), dtype=np.int64)
    for layer in layers:
        cover += layer.sign * _vote(layer.mesh, points)
    return cover


def _vote(mesh: trimesh.Trimesh, points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether a surface winds around points (n, 3), by the majority of rays."""
    votes = np.zeros(len(points), dtype=np.int8)
    for direction in DIRECTIONS[:2]:
        votes += _winding(mesh, points, direction) != 0
    split = np.flatnonzero(votes == 1)
    votes[split] += _winding(mesh, points[split], DIRECTIONS[2]) != 0
    return votes >= 2


def _winding(mesh: trimesh.Trimesh, points: NDArray[np.floating], direction: Floats) -> NDArray[np.int64]:
    """Return how often a surface winds around points (n, 3): how much more often rays leave than enter."""
    within = np.flatnonzero(np.all((points >= mesh.bounds[0]) & (points <= mesh.bounds[1]), axis=1))
    rays = np.broadcast_to(direction, (len(within), 3))
    face, ray = mesh.ray.intersects_id(points[within], rays, multiple_hits=True, max_hits=CROSSINGS)[:2]
    leaves = np.sign(mesh.face_normals @ direction)
    winding = np.zeros(len(points), dtype=np.int64)
    winding[within] = np.rint(np.bincount(ray, weights=leaves[face], minlength=len(within)))
    return winding
