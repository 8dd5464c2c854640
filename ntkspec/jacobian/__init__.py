"""Per-sample Jacobians as named blocks, each a row-wise Kronecker product of two factors."""

from ntkspec.jacobian.block import Block, Pair, Parameter
from ntkspec.jacobian.factor import DenseFactor, Factor, LoadedFactor, Matrix, SparseFactor, loaded_factor
from ntkspec.jacobian.jacobian import Jacobian
from ntkspec.jacobian.outputs import Outputs, check_outputs, rows_per_sample

__all__ = [
    "Block",
    "DenseFactor",
    "Factor",
    "Jacobian",
    "LoadedFactor",
    "Matrix",
    "Outputs",
    "Pair",
    "Parameter",
    "SparseFactor",
    "check_outputs",
    "loaded_factor",
    "rows_per_sample",
]
