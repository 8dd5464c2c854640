"""Check and look up the roles that callers give to parameters or blocks by prefixes of their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ntkspec.errors import UsageError, shown

Roles = Mapping[str, str]  # prefix of names -> role


def check_roles(
    roles: object, names: Sequence[str], what: str, separators: Collection[str], remedy: str
) -> None:
    """Raise `UsageError` if roles are not a mapping, a prefix begins no name, or a role is not a word.

    Args:
        roles: what a caller gave, see `Roles`.
        names: all names that there are.
        what: what the names are those of, such as "parameter".
        separators: the characters that part a name, such as ".".
        remedy: what to do where a prefix begins no name.

    Raises:
        UsageError: the roles are one of these.
    """
    if not isinstance(roles, Mapping):
        raise UsageError("roles", expected="a mapping", got=shown(roles), remedy="e.g. {'encoding': 'grid'}")
    for prefix, role in roles.items():
        if not isinstance(role, str) or not role.strip():
            raise UsageError(f"role for {prefix!r}", expected="a word", got=shown(role), remedy="e.g. 'grid'")
        if not isinstance(prefix, str) or not any(_begins(name, prefix, separators) for name in names):
            raise UsageError(
                f"role {role!r} for {prefix!r}",
                expected=f"the beginning of a {what}'s name ({', '.join(names[:4])}, ...)",
                got=f"one that no {what} has",
                remedy=remedy,
            )


def role_of(name: str, roles: Roles, separators: Collection[str], default: str) -> str:
    """Return the role of the longest prefix that begins a name, or the default if none does.

    Example:
        >>> role_of("enc.0.table", {"enc": "grid", "enc.0": "coarse"}, ".", "network")
        'coarse'
    """
    fitting = [prefix for prefix in roles if _begins(name, prefix, separators)]
    return roles[max(fitting, key=len)] if fitting else default


def _begins(name: str, prefix: str, separators: Collection[str]) -> bool:
    """Return whether a name begins with all parts of a prefix: "enc" begins "enc.0", not "encoder"."""
    return name == prefix or name.startswith(tuple(prefix + separator for separator in separators))
