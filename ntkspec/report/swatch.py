"""Draw what stands beside a name on the pages, a piece of its line or a square, for both backgrounds."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ntkspec.report.style import Marker, StyledRun
from ntkspec.report.themes import on_dark

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
