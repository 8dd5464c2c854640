"""The 3D task: learn from points in the unit box whether they lie inside a watertight mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import trimesh
from numpy.typing import NDArray

from ntkspec._io import first_line
from ntkspec.errors import UsageError
from ntkspec.nets.bodies import drop_double_walls, find_edges
from ntkspec.nets.inside import check_embree, contains, has_overlaps, sample_surface, turn_outwards
from ntkspec.nets.samples import sample_points
from ntkspec.nets.surface import View, chamfer, extract_surface, render
from ntkspec.nets.task import Loss, Picture, Predict
from ntkspec.qualities import CHAMFER, IOU, IOU_UNIFORM

if TYPE_CHECKING:
    import torch

Points = NDArray[np.float32]

MARGIN = 0.05  # of the unit box, on both sides of the mesh's longest extent
NEAR = 0.02  # standard deviation of points near the surface, along every axis, in units of the box
HELD_OUT = 2**15  # points, if there are as many to train on
RESOLUTION = 96  # cells an axis for the surfaces that are drawn and measured
REMEDY = "give a mesh that trimesh reads, such as a PLY, an STL or an OBJ"
REPAIR = "repair it, for instance with trimesh.repair or MeshLab"


@dataclass(frozen=True, eq=False)
class OccupancyTask:
    """Points in the unit box and whether they lie inside; the first half of them is uniform in the box.

    The second half is near the surface: points of it moved by normal noise of deviation `NEAR`, clipped to
    the box. Of an odd number of points, the uniform half has one more.
    """

    loss: ClassVar[Loss] = "cross-entropy"
    unit: ClassVar[str] = "points"

    coordinates: Points  # (m, 3), in [0, 1]
    values: Points  # (m, 1): 1 inside, 0 outside
    held_out: Points  # (k, 3), drawn in the same way
    held_out_values: Points  # (k, 1)
    mesh: trimesh.Trimesh  # in the unit box
    view: View = field(default_factory=View)  # from where it is drawn
    resolution: int = RESOLUTION  # cells an axis for surfaces of networks; 0: none are taken
    notes: tuple[str, ...] = ()  # what a user should know about how the mesh was read

    @property
    def learnt(self) -> NDArray[np.int64]:
        """Return all rows: the points that are held out are not among the rows."""
        return np.arange(len(self.coordinates))

    @property
    def channels(self) -> int:
        """Return 1: one logit."""
        return 1

    @cached_property
    def truth(self) -> Picture:
        """Return a picture of the mesh: uint8 (256, 256, 3)."""
        return render(self.mesh, view=self.view)

    def sample(self, pattern: str, n: int, seed: int) -> NDArray[np.int64]:
        """Choose the rows of n training points; see `sample_points`."""
        return sample_points(pattern, self.coordinates, n, seed)

    def judge(
        self, predicted: Points, predict: Predict, device: torch.device | str = "cpu"
    ) -> tuple[dict[str, float], Picture | None]:
        """Compare the network's inside, where its logit is positive, with the mesh's.

        Points and surfaces are compared on the CPU, also if the network is on another device.

        Returns:
            Metrics and a picture of the network's surface, None if it has none. "iou" is over the held-out
            points, "iou_uniform" over the uniform half of them, where it estimates a ratio of volumes.
            "chamfer" is the distance of the surfaces, in units of the box; left out if the network has none.
        """
        inside, truth = predict(self.held_out) > 0, self.held_out_values > 0
        uniform = _uniform(len(truth))
        metrics = {IOU.name: iou(inside, truth), IOU_UNIFORM.name: iou(inside[:uniform], truth[:uniform])}
        surface = extract_surface(predict, self.resolution) if self.resolution else None
        if surface is None:
            return metrics, None
        return metrics | {CHAMFER.name: chamfer(surface, self.mesh, sample_b=sample_surface)}, render(
            surface, view=self.view
        )


def load_occupancy(
    path: str | Path,
    points: int,
    *,
    seed: int = 0,
    view: View | None = None,
    resolution: int = RESOLUTION,
) -> OccupancyTask:
    """Read a watertight mesh and draw points inside and outside of it.

    The held-out points are the same for every seed, so that runs can be compared.

    Args:
        path: any mesh that trimesh reads; several in one file are united.
        points: to train on, at least 8; half of them uniform in the box, half near the surface.
        seed: of the points to train on.
        view: from where pictures are drawn; None: the default camera.
        resolution: cells an axis for surfaces of networks, taken whenever one is judged; 0: none are.

    Raises:
        UsageError: the mesh cannot be read, or has no inside.
    """
    mesh, notes = load_mesh(path)
    pools = [
        draw_points(mesh, count, np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(stream,))))
        for count, entropy, stream in ((points, seed, 0), (min(points, HELD_OUT), 0, 1))
    ]
    (x, y), (held_out, truth) = ((pool, contains(mesh, pool)[:, None].astype(np.float32)) for pool in pools)
    return OccupancyTask(x, y, held_out, truth, mesh, view or View(), resolution, notes)


def draw_points(mesh: trimesh.Trimesh, n: int, generator: np.random.Generator) -> Points:
    """Draw points (n, 3) in the unit box, float32: the first half uniform, the second near the surface."""
    uniform = generator.random((_uniform(n), 3))
    near = sample_surface(mesh, n - len(uniform), generator)
    near = near + NEAR * generator.standard_normal(near.shape)
    return np.concatenate([uniform, np.clip(near, 0, 1)]).astype(np.float32)


def _uniform(n: int) -> int:
    """Return how many of n points are uniform in the box."""
    return n - n // 2


def iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return intersection over union of two sets of points, given as masks; 1 if both are empty."""
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 1.0


def load_mesh(path: str | Path) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """Read a watertight mesh and move it into the unit box: centred, its longest extent 0.9.

    It may consist of several bodies, which may overlap. A body with its faces inwards is a cavity where it
    lies within another, and is turned round where it does not.

    Returns:
        The mesh, its faces outwards but for cavities, and notes on what was changed or found.

    Raises:
        UsageError: it cannot be read, has no faces, is not finite, not watertight or wound inconsistently, or
            encloses no volume.
    """
    check_embree()
    vertices, faces = _read(Path(path))
    if len(faces) == 0:
        raise _refused(path, "a mesh with faces", "none", "give a surface, not a point cloud")
    if faces.min() < 0 or faces.max() >= len(vertices):
        got = f"a number {faces.max() if faces.min() >= 0 else faces.min()}"
        raise _refused(path, f"faces between vertices 0 to {len(vertices) - 1}", got, REMEDY)
    if not np.isfinite(vertices).all():
        raise _refused(path, "finite vertices", "NaN or Inf", REPAIR)
    mesh = trimesh.Trimesh(_into_box(vertices, faces), faces)  # merges vertices that are the same
    faces = mesh.faces[np.diff(np.sort(mesh.faces, axis=1), axis=1).all(axis=1)]  # not those of two vertices
    if len(faces) > 0:
        _check_closed(path, faces)
        faces = drop_double_walls(faces)
    bodies, turned = 0, 0
    if len(faces) > 0:
        mesh = trimesh.Trimesh(mesh.vertices, faces, process=False)
        mesh, bodies, turned = turn_outwards(mesh)
    if bodies == 0:
        raise _refused(path, "a mesh that encloses a volume", "none", "give a solid body")
    return mesh, tuple(f"{path} {note}" for note in _notes(mesh, bodies, turned))


def _notes(mesh: trimesh.Trimesh, bodies: int, turned: int) -> Iterator[str]:
    if turned:
        which = "its faces" if turned == bodies else f"{turned} of {bodies} bodies with their faces"
        yield f"has {which} inwards: turned round"
    if has_overlaps(mesh):
        what = "bodies across or within others" if bodies > 1 else "a surface that passes through itself"
        yield f"has {what}: all that they enclose is inside, but for cavities, whose faces point into them"


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    try:
        if not path.is_file():  # trimesh would take the name for something else
            raise FileNotFoundError("a folder" if path.is_dir() else "no such file")
        mesh = trimesh.load_mesh(str(path), process=False)
        return np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64)
    except MemoryError:
        got = "one that does not fit in memory"
    except Exception as error:  # whatever a damaged or foreign file makes one of trimesh's readers raise
        got = first_line(error)
    raise _refused(path, "a readable mesh", got, REMEDY)


def _into_box(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    used = vertices[np.unique(faces)]  # vertices without faces do not count
    scale = np.abs(used).max() or 1.0  # so that no difference overflows
    vertices, low, high = vertices / scale, used.min(axis=0) / scale, used.max(axis=0) / scale
    longest = float((high - low).max()) or 1.0
    boxed: NDArray[np.float64] = (vertices - (low + high) / 2) * ((1 - 2 * MARGIN) / longest) + 0.5
    return boxed


def _check_closed(path: str | Path, faces: NDArray[np.int64]) -> None:
    edges = find_edges(faces)
    wrong = int(np.count_nonzero(edges.open))
    if wrong:
        got = f"{wrong} of {len(edges.open)} edges with another number"
        raise _refused(path, "a watertight mesh, two faces at every edge", got, REPAIR)
    if not edges.balanced.all():
        raise _refused(path, "faces that are all wound alike", "neighbours wound against each other", REPAIR)


def _refused(path: str | Path, expected: str, got: str, remedy: str) -> UsageError:
    return UsageError(str(path), expected=expected, got=got, remedy=remedy)
