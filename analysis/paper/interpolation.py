"""Beyond the paper: interpolation kernels. Linear, smooth, quadratic and cubic splines, coarse and fine MPE.

    python -m analysis.paper.interpolation PICTURES -o paper/interpolation --results paper/results

A wider kernel couples more nodes of a level: (p + 1)^d of them for a spline of degree p.
"""

from __future__ import annotations

from analysis.paper import command
from analysis.paper.variants import Variants
from ntkspec.nets.config import INTERPOLATIONS

INTERPOLATION = Variants(
    {"mpe-coarse": "MPE (coarse)", "mpe-fine": "MPE (fine)"},
    {kernel: {"interpolation": kernel} for kernel in INTERPOLATIONS},
    kernels=("total", "grid"),
)
STUDY = INTERPOLATION.study("interpolation")

if __name__ == "__main__":
    command.run(lambda: STUDY.run(__doc__))
