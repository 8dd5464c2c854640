"""Make knot.ply, a trefoil knot as a watertight tube: `python data/meshes/make.py`."""

from pathlib import Path

import numpy as np
import trimesh

RINGS, SIDES, RADIUS = 160, 12, 0.42


def main() -> None:
    """Write data/meshes/knot.ply."""
    t = np.linspace(0, 2 * np.pi, RINGS, endpoint=False)[:, None]
    curve = np.hstack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)])
    tangent = np.hstack([np.cos(t) + 4 * np.cos(2 * t), -np.sin(t) + 4 * np.sin(2 * t), -3 * np.cos(3 * t)])
    across = np.cross(tangent, [0, 0, 1.0])  # the tangent is nowhere vertical
    above = np.cross(across, tangent)
    frame = [axis / np.linalg.norm(axis, axis=1, keepdims=True) for axis in (across, above)]
    angle = np.linspace(0, 2 * np.pi, SIDES, endpoint=False)[:, None, None]
    tube = curve + RADIUS * (np.cos(angle) * frame[0] + np.sin(angle) * frame[1])  # (SIDES, RINGS, 3)
    side, ring = np.meshgrid(np.arange(SIDES), np.arange(RINGS), indexing="ij")
    corners = [((side + i) % SIDES) * RINGS + (ring + j) % RINGS for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    a, b, c, d = (corner.ravel() for corner in corners)
    faces = np.vstack([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    knot = trimesh.Trimesh(tube.reshape(-1, 3).astype(np.float32), faces, process=False)
    if knot.volume < 0:
        knot.invert()
    assert knot.is_watertight
    knot.export(Path(__file__).with_name("knot.ply"))


if __name__ == "__main__":
    main()
