"""Make the parts that all pages share; a page is one HTML file that opens offline, with all text escaped."""

from __future__ import annotations

import base64
import io
import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from ntkspec.report.records import Picture
from ntkspec.report.swatch import swatch

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"(?:[≤≥] )?\d\.\de[+-]\d+")


def template(name: str, package: str = "ntkspec.report") -> Template:
    """Return a page's template from a package; it escapes all texts, and unknown names in it are errors."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters["signs"] = signs
    environment.filters["swatch"] = swatch
    return environment.from_string(resource(name, package))


def _printable(value: object) -> object:
    """Return what a template shows, without the control characters that HTML forbids."""
    if not isinstance(value, str):
        return value
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
    return Markup(shown) if isinstance(value, Markup) else shown


def signs(text: str) -> Markup:
    """Return a text of `words` as HTML, with signs such as ≥ for >=; sign and number stay on one line.

    Example:
        >>> print(signs("lambda_min >= 2, not <b>"))
        λ_min ≥ 2, not &lt;b&gt;
    """
    shown = text.replace(">=", "≥").replace("<=", "≤").replace("+-", "±").replace("lambda_", "λ_")
    return Markup(_NUMBER.sub(r'<span class="nb">\g<0></span>', str(escape(shown))))


def data_uri(svg: bytes) -> str:
    """Return an SVG file as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def picture_uri(picture: Picture) -> str:
    """Return a picture (H, W) or (H, W, 3), uint8, as the data URI of a PNG file.

    Example:
        >>> import numpy as np
        >>> picture_uri(np.zeros((2, 2), np.uint8))[:26]
        'data:image/png;base64,iVBO'
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def resource(name: str, package: str = "ntkspec.report") -> str:
    """Return the text of a file that is shipped with a package."""
    return (files(package) / name).read_text(encoding="utf-8")
