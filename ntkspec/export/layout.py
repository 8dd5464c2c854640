"""Which trainable parameter goes into which block, and by which route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from ntkspec.errors import UsageError, shown
from ntkspec.export.prepare import Owned, Prepared
from ntkspec.nets.lookup import TableLookup

Kind = Literal["linear", "lookup", "dense"]
Roles = Mapping[str, str]  # prefix of parameter names -> role

_FACTORED: dict[Kind, tuple[type[nn.Module], tuple[str, ...]]] = {
    "linear": (nn.Linear, ("weight", "bias")),
    "lookup": (TableLookup, ("table",)),
}


@dataclass(frozen=True)
class Choices:
    """What the checks have found out about a model so far; it starts from the most hopeful."""

    demoted: Mapping[str, str] = field(default_factory=dict)  # module -> why its factors do not hold
    unused: frozenset[str] = frozenset()  # parameters that no output depends on
    loop: str = ""  # why torch.func.vmap does not hold, if it does not
    single: bool = False  # gradients agree to single precision alone, as of a model with casts inside

    def demote(self, found: Mapping[str, str]) -> Choices:
        """The same, with the modules in `found` dense."""
        return replace(self, demoted={**self.demoted, **found})


@dataclass(frozen=True)
class BlockPlan:
    """One block to be: its parameters and its route."""

    name: str
    kind: Kind
    module: str  # path of the module that holds the parameters
    role: str
    reason: str  # why it is dense; empty if it is not
    owned: tuple[Owned, ...]

    @property
    def order(self) -> int:
        """Position of the first parameter."""
        return self.owned[0].order

    @property
    def width(self) -> int:
        """Number of parameters."""
        return sum(owned.parameter.numel() for owned in self.owned)


def lay_out(prepared: Prepared, choices: Choices, roles: Roles | None = None) -> tuple[BlockPlan, ...]:
    """Blocks for every used trainable parameter: one for each module that holds some.

    A parameter of the model itself has a block of its own, unless the model itself is a Linear or a lookup.
    """
    groups: dict[tuple[str, str], list[Owned]] = {}
    for owned in prepared.trainable:
        if owned.name not in choices.unused:
            kind, _ = _route(prepared, choices, owned.module)
            own_block = not owned.module and kind == "dense"
            groups.setdefault((owned.module, owned.name if own_block else ""), []).append(owned)
    taken: set[str] = set()
    plans = []
    for (module, _), members in groups.items():
        kind, reason = _route(prepared, choices, module)
        name = _unique(_readable(module or members[0].name), taken)
        role = _role(members, roles or {}, prepared.model.get_submodule(module))
        plans.append(BlockPlan(name, kind, module, role, reason, tuple(members)))
    return tuple(sorted(plans, key=lambda plan: plan.order))


def check_roles(prepared: Prepared, roles: Roles | None) -> None:
    """Refuse what is no mapping, a prefix that names no parameter, and a role that is no word."""
    if roles is not None and not isinstance(roles, Mapping):
        raise UsageError("roles", expected="a mapping", got=shown(roles), remedy="e.g. {'encoding': 'grid'}")
    names = [name for name, _ in prepared.model.named_parameters()]
    for prefix, role in (roles or {}).items():
        if not isinstance(prefix, str) or not any(_starts(name, prefix) for name in names):
            raise UsageError(
                f"role {role!r} for {prefix!r}",
                expected=f"the beginning of a parameter's name ({', '.join(names[:4])}, ...)",
                got="one that no parameter has",
                remedy="see model.named_parameters()",
            )
        if not isinstance(role, str) or not role.strip():
            raise UsageError(f"role for {prefix!r}", expected="a word", got=repr(role), remedy="e.g. 'grid'")


def _route(prepared: Prepared, choices: Choices, path: str) -> tuple[Kind, str]:
    """The route of a module's own parameters, and the reason if it is "dense"."""
    if path in choices.demoted:
        return "dense", choices.demoted[path]
    module = prepared.model.get_submodule(path)
    members = [owned for owned in prepared.trainable if owned.module == path]
    for kind, (cls, attributes) in _FACTORED.items():
        if isinstance(module, cls):
            foreign = [owned.attribute for owned in members if owned.attribute not in attributes]
            if foreign:
                return "dense", f"{type(module).__name__} with a further parameter {foreign[0]}"
            for owned in members:
                if owned.shared:
                    return "dense", f"{owned.attribute} is shared with {', '.join(owned.shared)}"
            return kind, ""
    return "dense", f"{type(module).__name__} has no factor form"


def _role(members: list[Owned], roles: Roles, module: nn.Module) -> str:
    default = "grid" if isinstance(module, TableLookup) else "network"
    found = {}
    for owned in members:
        matching = [prefix for prefix in roles if _starts(owned.name, prefix)]
        found[owned.name] = roles[max(matching, key=len)] if matching else default
    if len(set(found.values())) > 1:
        raise UsageError(
            "roles",
            expected=f"one role for the parameters of one module ({', '.join(found)})",
            got=", ".join(found.values()),
            remedy="give the module's name as the prefix",
        )
    return next(iter(found.values()))


def _starts(name: str, prefix: str) -> bool:
    """Prefixes end where a part of the name ends: "enc" begins "enc.0", not "encoder"."""
    prefix = prefix.rstrip(".")
    return name == prefix or name.startswith(prefix + ".")


def _readable(name: str) -> str:
    return name.replace("/", "|")  # a slash would make groups within groups in HDF5


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}~{number}", number + 1
    taken.add(candidate)
    return candidate
