"""The activation regions of a piecewise-linear network, followed operation by operation."""
