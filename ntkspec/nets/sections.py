"""Read options that stand in sections, as in TOML and JSON."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ntkspec._io import first_line
from ntkspec.errors import UsageError
from ntkspec.nets.options import Option, nearest


def unnest(nested: Mapping[str, Any], where: str, options: Iterable[Option]) -> dict[str, Any]:
    """Return field names and checked values from options by section, as in TOML and JSON.

    Args:
        nested: sections.
        where: names them in messages.
        options: those that may occur.

    Raises:
        UsageError: an unknown section or key, named with the known ones, or a value that cannot work.
    """
    by_place = {(option.section, option.key): option for option in options}
    names = {section for section, _ in by_place if section}
    values = {}
    for name, content in nested.items():
        inside = isinstance(content, Mapping) and name in names
        for key, value in content.items() if inside else [(name, content)]:
            section = name if inside else ""
            if (section, key) not in by_place:
                raise _unknown_key(where, section, key, by_place)
            option = by_place[section, key]
            place = f"{where}, {key}" + (f" in [{section}]" if section else "")
            values[option.name] = option.check(value, place)
    return values


def _unknown_key(where: str, section: str, key: str, options: Mapping[tuple[str, str], Option]) -> UsageError:
    keys = [other for place, other in options if place == section]
    sections = [f"[{name}]" for name in dict.fromkeys(place for place, _ in options) if name]
    at = f"section [{section}]" if section else "the top level"
    return UsageError(
        where,
        expected=f"at {at} the keys {', '.join(keys)}" + ("" if section else f" or {', '.join(sections)}"),
        got=f"the unknown key {key!r}",
        remedy=_nearest(section, key, options),
    )


def _nearest(section: str, key: str, options: Mapping[tuple[str, str], Option]) -> str:
    """Return a remedy for an unknown key."""
    for place, other in options:
        if other == key:
            return f"move it to {f'[{place}]' if place else 'the top'}"
    in_section = {other: other for place, other in options if place == section}
    if not section:
        in_section |= {place: f"[{place}]" for place, _ in options if place}
    elsewhere = {other: f"{other} in [{place}]" for place, other in options if place}
    for names in (in_section, elsewhere):
        close = nearest(key, names)
        if close:
            return f"did you mean {names[close]}?"
    return "mend the name"


def read_toml(path: Path) -> dict[str, Any]:
    """Read the sections of a TOML file, unchecked; byte-order marks before them are skipped.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8").lstrip("\ufeff"))
    except OSError as error:
        got, remedy = error.strerror or first_line(error), "check the path"
    except UnicodeDecodeError:
        got, remedy = "bytes that are not UTF-8", "give a text file, saved as UTF-8"
    except tomllib.TOMLDecodeError as error:
        got, remedy = str(error), "mend that line"
    except (ValueError, RecursionError):  # which tomllib lets through
        got, remedy = "a number or a list beyond all bounds", "give values that --help describes"
    raise UsageError(str(path), expected="a TOML file of options", got=got, remedy=remedy)
