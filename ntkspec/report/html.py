"""Make the parts that all pages share; a page is one HTML file that opens offline, with all text escaped."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping
from functools import partial
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from ntkspec.report.grouping import grouped
from ntkspec.report.names import ELLIPSIS, clean
from ntkspec.report.records import Picture
from ntkspec.report.style import Marker, StyledRun
from ntkspec.report.themes import on_dark

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_SIGNS = {">=": "≥", "<=": "≤", "+-": "±", "lambda_": "λ_"}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_NUMBER = re.compile(r"(?:[≤≥] )?\d\.\de[+-]\d+")

_PATHS: Mapping[Marker, str] = {  # round the origin, 5 units far at most
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M-3.7-3.7h7.4v7.4h-7.4z",
    "triangle-up": "M0-4.8L4.8 3.6H-4.8z",
    "diamond": "M0-5L5 0L0 5L-5 0z",
    "triangle-down": "M0 4.8L4.8-3.6H-4.8z",
    "cross": "M-1.6-4.8h3.2v3.2h3.2v3.2h-3.2v3.2h-3.2v-3.2h-3.2v-3.2h3.2z",
    "hexagon": "M0-4.8L4.2-2.4V2.4L0 4.8L-4.2 2.4V-2.4z",
    "star": "M0-5L1.3-1.6L4.9-1.5L2 .7L3 4.1L0 2.1L-3 4.1L-2 .7L-4.9-1.5L-1.3-1.6z",
}


def template(package: str = "ntkspec.report", written: Collection[str] = ()) -> Template:
    """Return the template of a package's page; it escapes all texts, and unknown names in it are errors.

    Args:
        package: that has it.
        written: texts by users, which its filter `signs` leaves as they are.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters["signs"] = partial(signs, written=by_lead(written))
    environment.filters["swatch"] = swatch
    return environment.from_string(resource("page.html.j2", package))


def _printable(value: object) -> object:
    """Return what a template shows, without the control characters that HTML forbids."""
    if not isinstance(value, str):
        return value
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
    return Markup(shown) if isinstance(value, Markup) else shown


def signs(text: str, written: Mapping[str, Collection[str]]) -> Markup:
    """Return a text of `words` as HTML, with signs such as ≥ for >=; sign and number stay on one line.

    Args:
        text: one of our own sentences.
        written: texts by users that may stand in it, whole or cut by `clean`: they stay; see `by_lead`.

    Example:
        >>> print(signs("lambda_min >= 2, not <b>", {}))
        λ_min ≥ 2, not &lt;b&gt;
        >>> print(signs("lambda_0.1 has lambda_min = 0", by_lead(["lambda_0.1"])))
        lambda_0.1 has λ_min = 0
    """

    def shown(sign: re.Match[str]) -> str:
        return sign[0] if _within(text, sign.end(), written) else _SIGNS[sign[0]]

    return Markup(_NUMBER.sub(r'<span class="nb">\g<0></span>', str(escape(_SIGN.sub(shown, text)))))


def _within(text: str, end: int, written: Mapping[str, Collection[str]]) -> bool:
    """Return whether the sign that ends at a place of a text belongs to one of the texts by users."""
    for lead, pieces in written.items():
        if text.endswith(lead, 0, end):
            rest = text[end - len(lead) :]
            begun, cut, _ = rest.partition(ELLIPSIS)
            if any(rest.startswith(piece) or (cut and piece.startswith(begun)) for piece in pieces):
                return True
    return False


def by_lead(written: Collection[str]) -> dict[str, list[str]]:
    """Return the texts that have a sign, as they are and as `clean` shows them, by what ends in that sign."""
    pieces = {shown for text in written for shown in (text, clean(text, len(text)))}
    return grouped((piece[: sign.end()], piece) for piece in pieces for sign in _SIGN.finditer(piece))


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


def swatch(run: StyledRun) -> Markup:
    """Return a piece of the run's line with its marker, as SVG that screen readers ignore."""
    return _line(
        run.colour, run.dark, 2.2, " ".join(f"{2.2 * part:g}" for part in run.dash), _PATHS[run.marker]
    )


def stroke(colour: str, dark: str, width: float, dash: str = "") -> Markup:
    """Return a piece of a line without a marker, as SVG.

    Args:
        colour: on white; `dark` on a dark background.
        dark: see `colour`.
        width: in CSS pixels.
        dash: plotly's name of a dash.
    """
    return _line(colour, dark, width, {"dot": "2 3", "dash": "8 4"}.get(dash, ""), "")


def square(colour: str) -> Markup:
    """Return a square of a colour on white, as SVG; on a dark background it has the colour of `on_dark`."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" '
        f'style="{both(colour, on_dark(colour))}"><rect width="10" height="10" fill="currentColor"/></svg>'
    )


def both(colour: str, dark: str) -> str:
    """Return a CSS declaration of a colour that follows the theme; old browsers show the light colour.

    Example:
        >>> both("#1f1f1f", "#e4e4e4")
        'color:#1f1f1f;color:light-dark(#1f1f1f,#e4e4e4)'
    """
    return f"color:{colour};color:light-dark({colour},{dark})"


def _line(colour: str, dark: str, width: float, dash: str, mark: str) -> Markup:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    shape = f'<path d="{mark}" fill="currentColor"/>' if mark else ""
    return Markup(
        f'<svg class="swatch" viewBox="-15 -6 30 12" aria-hidden="true" style="{both(colour, dark)}">'
        f'<path d="M-15 0H15" stroke="currentColor" stroke-width="{width}"{dashes}/>{shape}</svg>'
    )
