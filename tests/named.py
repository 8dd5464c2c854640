"""What the sources define, read without importing them: words in backticks are looked up here."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
WORD = re.compile(r"[A-Za-z_]\w*")
NO_CODE = re.compile(r'""".*?"""|(?:^|(?<=\s))#[^\n]*', re.DOTALL | re.MULTILINE)
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
FOREIGN = frozenset(
    {"distributed", "h5py", "jax", "lightning", "np", "numpy", "plt", "scipy", "torch", "wandb"}
)

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = ast.ClassDef | Function


@dataclass(frozen=True)
class Source:
    """A module."""

    name: str  # dotted
    package: str  # that it is in, or is
    tree: ast.Module
    names: frozenset[str]  # that its top level binds
    words: frozenset[str]  # identifiers anywhere in its code, and the words of its shorter strings


@cache
def sources(folder: str = "ntkspec") -> dict[str, Source]:
    """Return the modules below a folder of the repository by dotted name."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        package = name if is_package else name.rpartition(".")[0]
        names, words = frozenset(_bound(tree.body)), words_of(text)
        if is_package:  # whose names may be imported when they are used
            names |= words
        found[name] = Source(name, package, tree, names, words)
    return found


def words_of(code: str) -> frozenset[str]:
    """Return the identifiers of Python code, without those of comments and docstrings."""
    return frozenset(WORD.findall(NO_CODE.sub("", code)))


@cache
def members() -> dict[str, frozenset[str]]:
    """Return what each class of the package has, by the class's own name: of its bases, too."""
    own: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for source in sources().values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                own.setdefault(node.name, set()).update(_bound(node.body), _attributes(node))
                bases.setdefault(node.name, set()).update(
                    name.id for base in node.bases for name in ast.walk(base) if isinstance(name, ast.Name)
                )

    def inherited(name: str) -> set[str]:
        return own[name].union(*(inherited(base) for base in bases[name] if base in own))

    return {name: frozenset(inherited(name)) for name in own}


def exists(name: str) -> bool:
    """Return whether a full name such as "ntkspec.Spectrum.floor" is of a module or in one."""
    parts = name.replace("ntkspec.bounds", "ntkspec.spectral.bounds").split(".")
    ends = (end for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in sources())
    end = next(ends, 0)
    if not end:
        return False
    return end == len(parts) or _has(sources()[".".join(parts[:end])].names, parts[end:])


def resolves(name: str, source: Source, around: tuple[Definition, ...]) -> bool:
    """Return whether a docstring may mean something by a name.

    It may be a full name, or the name of an argument, of a member of the class, of the module or its package,
    of a class anywhere in ntkspec, or of another library. Last of all it may be any identifier of the
    module's code; in a package's docstring, of the code of its modules.

    Args:
        name: dotted.
        source: the module of the docstring.
        around: the class and the functions that the docstring is in, from the outside.
    """
    first, *rest = name.split(".")
    if first == "ntkspec":
        return exists(name)
    for node in around:
        known = members()[node.name] if isinstance(node, ast.ClassDef) else _arguments(node)
        if first in known:
            return True
    if f"{source.package}.{first}" in sources():
        return exists(f"{source.package}.{name}")
    if first in source.names | sources()[source.package].names | members().keys():
        return not rest or first not in members() or rest[0] in members()[first]
    foreign = FOREIGN | sys.stdlib_module_names | {*dir(builtins), *keyword.kwlist}
    code = [other.words for other in sources().values() if source in (other, sources()[other.package])]
    return first in foreign or any(words.issuperset((first, *rest)) for words in code)


def docstrings() -> Iterator[tuple[Source, tuple[Definition, ...], str]]:
    """Yield every docstring of the package with its module, and the class and functions that it is in."""

    def below(node: ast.AST, around: tuple[Definition, ...]) -> Iterator[tuple[tuple[Definition, ...], str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Definition):
                yield (*around, child), ast.get_docstring(child) or ""
                yield from below(child, (*around, child))
            elif isinstance(child, ast.If | ast.Try):
                yield from below(child, around)

    for source in sources().values():
        yield source, (), ast.get_docstring(source.tree) or ""
        for around, text in below(source.tree, ()):
            yield source, around, text


def _has(names: frozenset[str], parts: list[str]) -> bool:
    """Return whether the first part is a name and, where it is a class of the package, has the second."""
    first, *rest = parts
    return first in names and (not rest or first not in members() or rest[0] in members()[first])


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind; those in `if` and `try`, too."""
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                yield from (
                    each.id
                    for each in ast.walk(node)
                    if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                )
            case ast.If() | ast.Try() | ast.For():
                yield from _bound([each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)])


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    """Yield the attributes that methods set."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            yield each.attr


def _arguments(node: Function) -> set[str]:
    return {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
