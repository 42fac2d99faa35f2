"""The one style of every picture: sizes, ink, and the colour of each arm.

Knows the names and doses of arms; knows nothing of curves, estimates or files' contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.errors import BadInput, unknown_name
from crossnorm.io import atomic_path
from crossnorm.stats import ArmInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FORMATS",
    "GRID",
    "INK",
    "MUTED",
    "WIDTHS",
    "FigureStyle",
    "Look",
    "depth_color",
    "family_look",
    "looks",
    "readable",
    "save",
    "styled",
    "width_of",
]

WIDTHS = {"column": 3.4, "page": 7.0}
"""Figure widths in inches: one column of a two-column paper, and a full page."""

FORMATS = ("png", "svg", "pdf")
"""File formats of figures."""

INK, MUTED, GRID = "#1b1f24", "#68707a", "#e3e6ea"
_DARK_INK, _GREY = "#e8eaed", "#9aa0a6"

# Perceptually uniform maps, cut where they would vanish into a white (black) page.
_SCALES = (
    ("plasma", (0.10, 0.74), (0.42, 0.95)),
    ("viridis", (0.12, 0.76), (0.40, 0.97)),
    ("inferno", (0.35, 0.80), (0.45, 0.92)),
    ("cividis", (0.05, 0.70), (0.40, 0.98)),
)
# Okabe and Ito (2008), without yellow and black: arms that have no dose to order them.
_NOMINAL = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one arm is drawn, everywhere.

    Attributes:
        color: ``#rrggbb`` on a light page.
        dark: ``#rrggbb`` on a dark page.
        dashed: True for controls.
        marker: matplotlib's marker, one per family of arms, so that colour is never the only sign.
    """

    color: str
    dark: str
    dashed: bool = False
    marker: str = "o"


@dataclass(frozen=True, kw_only=True)
class FigureStyle:
    """How figures are printed.

    Args:
        width: Inches, or the name of a size: "page" (7.0) or "column" (3.4).
        font_size: Text size in points, 5 to 20.
        formats: Of "png", "svg" and "pdf"; text stays text in SVG and PDF.

    Raises:
        BadInput: A width outside 2.5 to 20, another text size or format.
    """

    width: float | str = "page"
    font_size: float = 8.0
    formats: tuple[str, ...] = ("png",)

    def __post_init__(self) -> None:
        """Judge everything before anything is drawn."""
        width_of(self.width)
        if not 5 <= self.font_size <= 20:
            raise BadInput("font size", "5 to 20 points", self.font_size)
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        if not self.formats:
            raise BadInput("formats", "at least one of " + ", ".join(FORMATS), "none")


def width_of(size: str | float) -> float:
    """Width in inches of a named size, or the inches themselves.

    Raises:
        BadInput: the size is neither ``column`` nor ``page`` nor 2.5 to 20 inches.
    """
    if isinstance(size, str):
        if size not in WIDTHS:
            raise unknown_name("size", size, WIDTHS)
        return WIDTHS[size]
    if not 2.5 <= size <= 20:
        raise BadInput("width", "2.5 to 20 inches, column or page", size)
    return float(size)


def looks(arms: Sequence[ArmInfo]) -> dict[str, Look]:
    """The look of every arm by name: baseline in ink, a colour scale over α per variant, controls muted and dashed.

    The first arm is the baseline. Within a variant colour follows α, so that neighbours in dose are neighbours
    in colour; a control takes the colour its arm has at the same α, mixed with grey.
    """
    baseline, rest = arms[0], arms[1:]
    controls = {arm.control for arm in rest if arm.control is not None} - {baseline.name}
    families = list(dict.fromkeys(_family(arm) for arm in rest if arm.name not in controls))
    result = {baseline.name: Look(color=INK, dark=_DARK_INK, marker="s")}
    for arm in rest:
        if arm.name not in controls:
            result[arm.name] = _look(arm, [other for other in rest if _family(other) == _family(arm)], families)
    for arm in rest:
        if arm.name in controls:
            owner = next(other for other in rest if other.control == arm.name)
            result[arm.name] = _muted(result.get(owner.name, Look(color=_GREY, dark=_GREY)))
    return result


def family_look(place: int, *, control: bool = False) -> Look:
    """The look of a whole variant, the ``place``-th of its study, or of its control: one colour out of its scale."""
    name, light, dark = _SCALES[place % len(_SCALES)]
    look = Look(color=_pick(name, light, 0.35), dark=_pick(name, dark, 0.35), marker="oD^vP"[place % 5])
    return _muted(look) if control else look


def depth_color(position: float) -> str:
    """The colour of a place in the depth of a model, from 0 (its input) to 1."""
    name, light, _ = _SCALES[1]
    return _pick(name, light, position)


def _family(arm: ArmInfo) -> tuple[str | None, str | None]:
    return arm.variant, arm.site


def _look(arm: ArmInfo, family: Sequence[ArmInfo], families: Sequence[tuple[str | None, str | None]]) -> Look:
    place = families.index(_family(arm))
    marker = "oD^vP"[place % 5]
    if arm.alpha is None:
        color = _NOMINAL[family.index(arm) % len(_NOMINAL)]
        return Look(color=color, dark=color, marker=marker)
    doses = [other.alpha for other in family if other.alpha is not None]
    low, high = min(doses), max(doses)
    position = (arm.alpha - low) / (high - low) if high > low else 0.6
    name, light, dark = _SCALES[place % len(_SCALES)]
    return Look(color=_pick(name, light, position), dark=_pick(name, dark, position), marker=marker)


def _pick(scale: str, span: tuple[float, float], position: float) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[scale](span[0] + position * (span[1] - span[0])))


def _muted(look: Look) -> Look:
    return Look(color=_mix(look.color, _GREY), dark=_mix(look.dark, _GREY), dashed=True, marker="X")


def _mix(first: str, second: str) -> str:
    from matplotlib.colors import to_hex, to_rgb

    (r, g, b), (red, green, blue) = to_rgb(first), to_rgb(second)
    return to_hex((0.45 * r + 0.55 * red, 0.45 * g + 0.55 * green, 0.45 * b + 0.55 * blue))


def readable(color: str) -> str:
    """``color`` darkened until text in it can be read on white (contrast 4.5, WCAG 2.2)."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = to_rgb(color)
    while _luminance(rgb) > 0.183:  # (1 + 0.05) / (0.183 + 0.05) = 4.5
        rgb = (0.95 * rgb[0], 0.95 * rgb[1], 0.95 * rgb[2])
    return to_hex(rgb)


def _luminance(rgb: tuple[float, float, float]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def styled(text_size: float = 8.0) -> AbstractContextManager[None]:
    """A block inside which figures are made in the project's style, text of the given size in points."""
    from matplotlib import rc_context

    return rc_context(_settings(text_size))


def _settings(text_size: float) -> Any:
    return {
        "font.family": "DejaVu Sans",
        "font.size": text_size,
        "axes.titlesize": text_size + 0.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": text_size,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": "#b4bac1",
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.unicode_minus": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "text.parse_math": False,
        "xtick.color": "#b4bac1",
        "ytick.color": "#b4bac1",
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": text_size - 1,
        "ytick.labelsize": text_size - 1,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.0,
        "ytick.major.size": 0.0,
        "lines.solid_capstyle": "round",
        "lines.dash_capstyle": "butt",
        "figure.facecolor": "white",
        "figure.dpi": 100,
    }


def save(figure: Figure, path: Path, *, dpi: int = 200) -> None:
    """Write ``figure`` as PNG, SVG or PDF, by the name's ending; the file appears whole or not at all.

    The same figure gives the same bytes: no date, no random identifiers. Text stays text in SVG and PDF.
    """
    import matplotlib

    endings = tuple(f".{name}" for name in FORMATS)
    if path.suffix not in endings:
        raise unknown_name(f"{path}: the file's ending", path.suffix, endings)
    dated: Any = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
    options: Any = {"svg.hashsalt": "crossnorm", "svg.fonttype": "none", "pdf.fonttype": 42}
    with matplotlib.rc_context(options), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dpi, metadata=dated)
