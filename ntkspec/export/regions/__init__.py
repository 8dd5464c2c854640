"""The activation regions of a piecewise-linear network, followed operation by operation."""

from ntkspec.export.regions.numbered import Regions

__all__ = ["Regions"]
