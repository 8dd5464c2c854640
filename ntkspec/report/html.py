"""What pages share: one file that opens offline, in which every foreign text is escaped."""

from __future__ import annotations

import base64
import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

_NUMBER = re.compile(r"(?:[≤≥] )?\d\.\de[+-]\d+")


def template(name: str, package: str = "ntkspec.report") -> Template:
    """Return a page to fill, shipped with a package: all is escaped, a name that is not there is an error."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["signs"] = signs
    return environment.from_string(resource(name, package))


def signs(text: str) -> Markup:
    """Return the signs of `words` as a page shows them, escaped; a number stays on one line with its sign.

    Example:
        >>> print(signs("lambda_min >= 2, not <b>"))
        λ_min ≥ 2, not &lt;b&gt;
    """
    shown = text.replace(">=", "≥").replace("<=", "≤").replace("lambda_", "λ_")
    return Markup(_NUMBER.sub(r'<span class="nb">\g<0></span>', str(escape(shown))))


def data_uri(svg: bytes) -> str:
    """Return an SVG file as the address of a picture."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def resource(name: str, package: str = "ntkspec.report") -> str:
    """Return the text of a file that is shipped with a package."""
    return (files(package) / name).read_text(encoding="utf-8")
