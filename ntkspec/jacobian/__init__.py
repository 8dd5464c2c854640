"""Per-sample Jacobians as named blocks, each a row-wise Kronecker product of two factors."""

from ntkspec.jacobian.block import Block, Pair, Parameter
from ntkspec.jacobian.dense import DenseFactor
from ntkspec.jacobian.factor import Factor, Matrix, Precision
from ntkspec.jacobian.jacobian import Jacobian, require_jacobian
from ntkspec.jacobian.ones import Ones
from ntkspec.jacobian.outputs import Outputs, check_outputs, rows_per_sample
from ntkspec.jacobian.pairs import PairsFactor
from ntkspec.jacobian.sparse import SparseFactor

__all__ = [
    "Block",
    "DenseFactor",
    "Factor",
    "Jacobian",
    "Matrix",
    "Ones",
    "Outputs",
    "Pair",
    "PairsFactor",
    "Parameter",
    "Precision",
    "SparseFactor",
    "check_outputs",
    "require_jacobian",
    "rows_per_sample",
]
