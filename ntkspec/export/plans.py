"""The plan of an export: its blocks, the trainable parameters and form of each, and when to plan anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ntkspec.arguments.roles import Roles, check_roles, role_of
from ntkspec.export.forms import Form, Kind
from ntkspec.export.prepare import Owned, Prepared
from ntkspec.store.texts import one_level

WORKING_COPIES = 5  # of a dense chunk: rows, columns, their stack, the block, absolute values


@dataclass(frozen=True)
class Choices:
    """The form of each parameter and how it is computed, as far as the checks have confirmed it.

    An export starts from the most compact choices, and replaces those that a check disproves.
    """

    forms: Mapping[str, Form] = field(default_factory=dict)  # of every parameter that is used
    unused: frozenset[str] = frozenset()  # parameters that no output depends on
    loop: str = ""  # why torch.func.vmap does not hold, if it does not
    full: frozenset[str] = frozenset()  # large dense parameters whose rows are not mostly zero
    single: bool = False  # gradients agree to single precision alone, as of a model with casts inside
    regions: bool = True  # activation regions are numbered, if the network has any

    def with_forms(self, forms: Mapping[str, Form]) -> Choices:
        """Return choices in which some parameters have other forms, and count as used."""
        return replace(self, forms={**self.forms, **forms}, unused=self.unused - forms.keys())

    def demote(self, reasons: Mapping[str, str], remedy: str = "") -> Choices:
        """Return choices in which some parameters are dense, for the reasons given."""
        return self.with_forms({name: Form("dense", reason, remedy) for name, reason in reasons.items()})


class Replan(Exception):
    """A choice does not hold; the export starts again with the choices given."""

    def __init__(self, choices: Choices) -> None:
        super().__init__("replan")
        self.choices = choices


@dataclass(frozen=True)
class BlockPlan:
    """The plan of a block, or of the blocks of a table's levels: the parameters and their forms."""

    name: str
    forms: tuple[Form, ...]  # of each parameter; all of one kind
    role: str
    owned: tuple[Owned, ...]

    @property
    def kind(self) -> Kind:
        """Return the kind of form that all parameters of the block have."""
        return self.forms[0].kind

    @property
    def form(self) -> Form:
        """Return the form of the first parameter."""
        return self.forms[0]

    @property
    def is_shift(self) -> bool:
        """Return whether it is a shift alone, in a role of its own or added to the product of a constant."""
        return len(self.forms) == 1 and self.form.added

    @property
    def reason(self) -> str:
        """Return why no more compact form is possible; "" if it has the most compact one."""
        return "; ".join(dict.fromkeys(form.reason for form in self.forms if form.reason))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the blocks: one, or one for each level of a table."""
        layout = self.form.layout
        if layout is None or layout.levels == 1:
            return (self.name,)
        if not layout.split_axis(self.owned[0].shape):
            return tuple(f"{self.name} (part {k + 1} of {layout.levels})" for k in range(layout.levels))
        length = self.owned[0].shape[0] // layout.levels
        return tuple(f"{self.name}[{k * length}:{(k + 1) * length}]" for k in range(layout.levels))

    def bytes_a_sample(self, outputs: int, itemsize: int) -> int:
        """Return the bytes that one sample takes in the stored blocks of this plan."""
        form, columns = self.form, outputs * itemsize
        if self.kind == "dense":
            return self.width * columns
        if self.kind in ("linear", "pairs"):
            a, b = self.widths
            once = a * itemsize + b * columns
            return once * (form.entries if self.kind == "pairs" else 1)
        if self.kind == "lookup":
            return form.entries * (4 + itemsize) + self.owned[0].shape[-1] * columns
        if form.layout is not None:
            return form.layout.bytes(outputs, itemsize, form.layout.nodes)
        return form.entries * (4 + columns)

    def working_bytes(self, outputs: int, itemsize: int) -> int:
        """Return the bytes that one sample takes while the blocks are computed, more than when stored."""
        entries = self.form.entries if self.kind in ("rows", "scanned") else 0
        made = WORKING_COPIES * self.bytes_a_sample(outputs, itemsize)
        return made + entries * (WORKING_COPIES * outputs * itemsize + 48)  # with positions and orders

    @property
    def order(self) -> int:
        """Return the position of the first parameter among all parameters."""
        return self.owned[0].order

    @property
    def width(self) -> int:
        """Return how many real numbers the parameters have together."""
        return sum(owned.size for owned in self.owned)

    @property
    def widths(self) -> tuple[int, int]:
        """Return the widths of both factors of a block of a matrix and what is added to its products."""
        return sum(form.widths[0] for form in self.forms), self.form.widths[1]


def lay_out(prepared: Prepared, choices: Choices, roles: Roles) -> tuple[BlockPlan, ...]:
    """Plan the blocks of every used trainable parameter.

    Parameters that are multiplied and added in one place form one block, each table forms one, and the dense
    parameters of a module form one. Dense parameters of the model itself have a block each, and so have those
    of different roles.
    """
    groups: dict[tuple[Kind, str, str], list[Owned]] = {}
    for owned in prepared.trainable:
        if owned.name not in choices.unused:
            form = choices.forms[owned.name]
            place = owned.module if form.kind == "dense" and owned.module else owned.name
            place = form.site if form.kind in ("linear", "pairs") else place
            role = role_of(owned.name, roles, ".", "grid" if form.varies else "network")
            groups.setdefault((form.kind, place, role), []).append(owned)
    blocks_of_module = Counter(owned.module for members in groups.values() for owned in members[:1])
    plans = []
    for (_, _, role), members in sorted(groups.items(), key=lambda group: group[1][0].order):
        modules = {owned.module for owned in members}
        alone = members[0].module and len(modules) == 1 and blocks_of_module[members[0].module] == 1
        name = one_level(members[0].module if alone else members[0].name)
        forms = tuple(choices.forms[owned.name] for owned in members)
        plans.append(BlockPlan(name, forms, role, tuple(members)))
    return tuple(plans)


def given_roles(prepared: Prepared, roles: Roles | None) -> Roles:
    """Check roles and return them with prefixes as the names of the parameters begin.

    Dots at their ends are left out, and what torch.compile puts before the names of a model's parameters.

    Raises:
        UsageError: the roles are no mapping, no parameter's name begins with a prefix, or a role is no word.
    """
    if roles is None:
        return {}
    if isinstance(roles, Mapping):
        roles = {_bare(p) if isinstance(p, str) else p: role for p, role in roles.items()}
    names = [name for name, _ in prepared.model.named_parameters()]
    check_roles(roles, names, "parameter", ".", "see model.named_parameters()")
    return roles


def _bare(prefix: str) -> str:
    return prefix.removeprefix("_orig_mod.").rstrip(".")
