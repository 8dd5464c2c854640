"""The bodies of a closed mesh: which faces belong together, and whether they face outwards."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Faces = NDArray[np.int64]
Labels = NDArray[np.int64]

SAME_ANGLE = 1e-6  # radians
WHOLE_TURN = round(2 * np.pi / SAME_ANGLE)


@dataclass(frozen=True, eq=False)
class Edges:
    """The sides of all faces, sorted by edge."""

    face: NDArray[np.int64]  # (3f,), whose side it is
    forward: NDArray[np.bool_]  # (3f,), whether it goes from the vertex of lower number to the other
    start: NDArray[np.int64]  # (e,), where each edge's sides begin
    count: NDArray[np.int64]  # (e,), of its sides

    @property
    def open(self) -> NDArray[np.bool_]:
        """Return at which edges an odd number of faces meets: bool (e,)."""
        return np.asarray(self.count % 2 == 1)

    @property
    def balanced(self) -> NDArray[np.bool_]:
        """Return at which edges as many sides go forwards as backwards: bool (e,)."""
        return np.asarray(2 * np.add.reduceat(self.forward.astype(np.int64), self.start) == self.count)


def find_edges(faces: Faces) -> Edges:
    """Find the edges of faces (f, 3), of which there is at least one."""
    ends = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    key = ends.min(axis=1) * (int(faces.max()) + 1) + ends.max(axis=1)
    order = np.argsort(key, kind="stable")
    start = np.flatnonzero(np.diff(key[order], prepend=-1))
    count = np.diff(start, append=len(order))
    return Edges(order // 3, (ends[:, 0] < ends[:, 1])[order], start, count)


def drop_double_walls(faces: Faces) -> Faces:
    """Remove pairs of faces with the same vertices that face each other, as where two bodies touch."""
    corners = np.sort(faces, axis=1)
    even = np.all(np.roll(faces, -1, axis=1) == corners, axis=1) | np.all(faces == corners, axis=1)
    even |= np.all(np.roll(faces, -2, axis=1) == corners, axis=1)
    order = np.lexsort((even, *corners.T))  # faces with the same vertices, those of one orientation first
    new = np.any(np.diff(corners[order], axis=0, prepend=-1) != 0, axis=1)
    start = np.flatnonzero(new)
    count = np.diff(start, append=len(order))
    if not np.any(count > 1):
        return faces
    ahead = np.add.reduceat(even[order].astype(np.int64), start)  # faces that end each group
    place = np.arange(len(order)) - np.repeat(start, count)
    pairs = np.minimum(ahead, count - ahead)
    keep = (place >= np.repeat(pairs, count)) & (place < np.repeat(count - pairs, count))
    return faces[np.sort(order[keep])]


def find_bodies(vertices: NDArray[np.floating], faces: Faces, edges: Edges) -> Labels:
    """Return the number of the body that each face belongs to: (f,), from 0.

    A body is a closed surface of faces that are joined at their edges. Where bodies touch, an edge has more
    than two faces; two of them are joined if there is nothing but solid between them.

    Args:
        vertices: (v, 3).
        faces: (f, 3).
        edges: of the faces, balanced.
    """
    twos = edges.start[edges.count == 2]
    joined = [np.stack([edges.face[twos], edges.face[twos + 1]])]
    labels = _components(np.concatenate(joined, axis=1), len(faces))
    crowded = np.flatnonzero(edges.count > 2)
    if len(crowded) == 0:
        return labels
    groups = DisjointSet(range(labels.max() + 1))
    for edge in crowded:
        sides = slice(edges.start[edge], edges.start[edge] + edges.count[edge])
        for pair in _pair_sides(vertices, faces, edges.face[sides], edges.forward[sides], labels, groups):
            groups.merge(*labels[list(pair)].tolist())
            joined.append(np.array(pair)[:, None])
    return _components(np.concatenate(joined, axis=1), len(faces))


def _components(pairs: NDArray[np.int64], count: int) -> Labels:
    graph = coo_array((np.ones(pairs.shape[1], dtype=np.int8), (pairs[0], pairs[1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _pair_sides(
    vertices: NDArray[np.floating],
    faces: Faces,
    around: NDArray[np.int64],
    forward: NDArray[np.bool_],
    labels: Labels,
    groups: DisjointSet,
) -> list[tuple[int, int]]:
    """Match the faces around one edge in pairs, one forward and one backward each.

    Of all pairs, the one with the smallest angle through the solid comes first. Where angles are equal, as
    with copies of a body, faces that are known to belong to one body come first.
    """
    angles = _angles(vertices, faces[around])
    roots = [groups[label] for label in labels[around].tolist()]
    candidates = []
    for a, b in itertools.product(np.flatnonzero(forward), np.flatnonzero(~forward)):
        gap = round(float(angles[a] - angles[b]) % (2 * np.pi) / SAME_ANGLE) or WHOLE_TURN
        candidates.append((gap, roots[a] != roots[b], int(around[a]), int(around[b])))
    pairs: dict[int, int] = {}
    for _, _, ahead, back in sorted(candidates):
        if ahead not in pairs and back not in pairs.values():
            pairs[ahead] = back
    return list(pairs.items())


def _angles(vertices: NDArray[np.floating], around: Faces) -> NDArray[np.float64]:
    """Return the angles of faces around the edge that they share, counter-clockwise as seen from its end."""
    shared = [vertex for vertex in np.unique(around) if np.all(np.any(around == vertex, axis=1))][:2]
    low, high = vertices[shared[0]], vertices[shared[1]]
    third = vertices[[next(vertex for vertex in face if vertex not in shared) for face in around]] - low
    along = (high - low) / (np.linalg.norm(high - low) or 1.0)
    across = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    across /= np.linalg.norm(across) or 1.0
    return np.asarray(np.arctan2(third @ np.cross(along, across), third @ across))


def volumes(mesh: trimesh.Trimesh, labels: Labels) -> NDArray[np.float64]:
    """Return the signed volumes of the bodies (b,), negative where faces are turned inwards."""
    a, b, c = np.moveaxis(mesh.triangles - mesh.bounds.mean(axis=0), 1, 0)
    signed = np.einsum("fd,fd->f", a, np.cross(b, c)) / 6
    return np.bincount(labels, weights=signed).astype(np.float64)
