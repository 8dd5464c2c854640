"""The uses of each parameter in a forward pass, as a table or as a matrix, read off autograd's graph."""

from ntkspec.export.uses.find import Use, find_uses
from ntkspec.export.uses.products import Product, Shift, product_of, shift_of
from ntkspec.export.uses.reads import Read, is_read, read_alike, read_of

__all__ = [
    "Product",
    "Read",
    "Shift",
    "Use",
    "find_uses",
    "is_read",
    "product_of",
    "read_alike",
    "read_of",
    "shift_of",
]
