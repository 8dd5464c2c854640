"""Records that hold arrays are equal only to themselves: NumPy cannot say whether two arrays are equal."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import ntkspec

TREES = {path: ast.parse(path.read_text()) for path in sorted(Path("ntkspec").rglob("*.py"))}
ARRAYS = {"NDArray", "Tensor", "csr_array", "Array", "Matrix", "Numbers"}  # what annotations call arrays


def named(node: ast.AST) -> Iterator[str]:
    """Yield the names in an annotation or an alias, but not those of a function's arguments and result."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Callable":
        return
    if isinstance(node, ast.Name | ast.Attribute):
        yield node.id if isinstance(node, ast.Name) else node.attr
    for child in ast.iter_child_nodes(node):
        yield from named(child)


def names_of_arrays() -> set[str]:
    """Return what the package calls arrays: `ARRAYS`, and every alias of these, such as Floats."""
    found, before = set(ARRAYS), 0
    while before < len(found):
        before = len(found)
        for tree in TREES.values():
            for node in tree.body:
                if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
                    node.value, ast.Subscript | ast.BinOp
                ):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if found & {*named(node.value)}:
                        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def records_with_arrays() -> Iterator[tuple[str, str]]:
    """Yield the name and the decorator of each data class with a field that is, or holds, an array."""
    arrays, holders = names_of_arrays(), set[str]()
    classes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in sorted(classes, key=lambda node: len(node.bases)):  # those without a base first
        annotations = [each.annotation for each in node.body if isinstance(each, ast.AnnAssign)]
        how = [text for text in map(ast.unparse, node.decorator_list) if "dataclass" in text]
        inherited = holders & {name for base in node.bases for name in named(base)}
        if how and (inherited or any(arrays & {*named(annotation)} for annotation in annotations)):
            holders.add(node.name)
            yield node.name, how[0]


def test_every_record_with_arrays_is_equal_only_to_itself():
    records = dict(records_with_arrays())
    assert records.keys() >= {"Spectrum", "RunReport", "Bound", "DenseFactor", "ImageTask", "SparseRows"}
    assert [name for name, how in records.items() if "eq=False" not in how] == []


def test_spectra_can_be_compared_and_kept_in_sets():
    spectrum = ntkspec.Spectrum(np.array([4.0, 1.0]), np.zeros(2), 1e-14, 2, 5.0, "gram", "float64")
    assert spectrum == spectrum
    assert spectrum != replace(spectrum, eigenvalues=spectrum.eigenvalues + 1)
    assert len({spectrum, spectrum, replace(spectrum)}) == 2
