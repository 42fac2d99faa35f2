"""The style of all figures: sizes, text, and the color, dash and marker of each arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
    "ArmStyle",
    "FigureStyle",
    "arm_styles",
    "depth_color",
    "readable",
    "save",
    "styled",
    "variant_style",
    "width_of",
]

WIDTHS = {"column": 3.4, "page": 7.0}
"""Figure widths in inches: one column of a two-column paper, and a full page."""

FORMATS = ("png", "svg", "pdf")
"""File formats of figures."""

INK, MUTED, GRID = "#1b1f24", "#68707a", "#e3e6ea"
_DARK_INK, _GRAY = "#e8eaed", "#9aa0a6"

# Perceptually uniform color maps, and the ranges that are visible on a light and on a dark page.
_SCALES = (
    ("plasma", (0.10, 0.74), (0.42, 0.95)),
    ("viridis", (0.12, 0.76), (0.40, 0.97)),
    ("inferno", (0.35, 0.80), (0.45, 0.92)),
    ("cividis", (0.05, 0.70), (0.40, 0.98)),
)
# Okabe and Ito (2008), without yellow and black: for arms without a dose.
_NOMINAL = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@dataclass(frozen=True, kw_only=True)
class ArmStyle:
    """How an arm is drawn in figures and charts.

    Attributes:
        color: ``#rrggbb`` on a light page.
        dark: ``#rrggbb`` on a dark page.
        dashed: True for controls.
        marker: matplotlib marker, one per variant, so that color is never the only cue.
    """

    color: str
    dark: str
    dashed: bool = False
    marker: str = "o"


@dataclass(frozen=True, kw_only=True)
class FigureStyle:
    """Size and format of figures.

    Args:
        width: Inches, or the name of a size: "page" (7.0) or "column" (3.4).
        font_size: Text size in points, 5 to 20.
        formats: Of "png", "svg" and "pdf"; text stays text in SVG and PDF.

    Raises:
        BadInput: The width, text size or format is not allowed.
    """

    width: float | str = "page"
    font_size: float = 8.0
    formats: tuple[str, ...] = ("png",)

    def __post_init__(self) -> None:
        """Validate all fields before drawing."""
        width_of(self.width)
        if not 5 <= self.font_size <= 20:
            raise BadInput("font_size", "5 to 20 points", self.font_size)
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_name("format", name, FORMATS)
        if not self.formats:
            raise BadInput("formats", "at least one of " + ", ".join(FORMATS), "none")


def width_of(size: str | float) -> float:
    """Width in inches of ``"column"``, ``"page"`` or a number of inches.

    Raises:
        BadInput: The size is neither of these names nor between 2.5 and 20 inches.
    """
    if isinstance(size, str):
        if size not in WIDTHS:
            raise unknown_name("size", size, WIDTHS)
        return WIDTHS[size]
    if not 2.5 <= size <= 20:
        raise BadInput("width", "column, page, or 2.5 to 20 inches", size)
    return float(size)


def arm_styles(arms: Sequence[ArmInfo]) -> dict[str, ArmStyle]:
    """The style of every arm by name: a black baseline, a color scale over α per variant, dashed gray-mixed controls.

    The first arm is the baseline. A control has the color of its arm, mixed with gray.
    """
    baseline, rest = arms[0], arms[1:]
    controls = {arm.control for arm in rest if arm.control is not None} - {baseline.name}
    families = list(dict.fromkeys(_family(arm) for arm in rest if arm.name not in controls))
    result = {baseline.name: ArmStyle(color=INK, dark=_DARK_INK, marker="s")}
    for arm in rest:
        if arm.name not in controls:
            result[arm.name] = _arm_style(arm, [other for other in rest if _family(other) == _family(arm)], families)
    for arm in rest:
        if arm.name in controls:
            owner = next(other for other in rest if other.control == arm.name)
            result[arm.name] = _muted(result.get(owner.name, ArmStyle(color=_GRAY, dark=_GRAY)))
    return result


def variant_style(index: int, *, control: bool = False) -> ArmStyle:
    """The style of the ``index``-th variant of a study, or of its control: one color of its scale."""
    name, light, dark = _SCALES[index % len(_SCALES)]
    style = ArmStyle(color=_pick(name, light, 0.35), dark=_pick(name, dark, 0.35), marker="oD^vP"[index % 5])
    return _muted(style) if control else style


def depth_color(position: float) -> str:
    """The color of a relative depth in a model, from 0 (input) to 1 (output)."""
    name, light, _ = _SCALES[1]
    return _pick(name, light, position)


def _family(arm: ArmInfo) -> tuple[str | None, str | None]:
    return arm.variant, arm.site


def _arm_style(arm: ArmInfo, family: Sequence[ArmInfo], families: Sequence[tuple[str | None, str | None]]) -> ArmStyle:
    index = families.index(_family(arm))
    marker = "oD^vP"[index % 5]
    if arm.alpha is None:
        color = _NOMINAL[family.index(arm) % len(_NOMINAL)]
        return ArmStyle(color=color, dark=color, marker=marker)
    doses = [other.alpha for other in family if other.alpha is not None]
    low, high = min(doses), max(doses)
    position = (arm.alpha - low) / (high - low) if high > low else 0.6
    name, light, dark = _SCALES[index % len(_SCALES)]
    return ArmStyle(color=_pick(name, light, position), dark=_pick(name, dark, position), marker=marker)


def _pick(scale: str, span: tuple[float, float], position: float) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[scale](span[0] + position * (span[1] - span[0])))


def _muted(style: ArmStyle) -> ArmStyle:
    return ArmStyle(color=_mix(style.color, _GRAY), dark=_mix(style.dark, _GRAY), dashed=True, marker="X")


def _mix(first: str, second: str) -> str:
    from matplotlib.colors import to_hex, to_rgb

    (r, g, b), (red, green, blue) = to_rgb(first), to_rgb(second)
    return to_hex((0.45 * r + 0.55 * red, 0.45 * g + 0.55 * green, 0.45 * b + 0.55 * blue))


def readable(color: str) -> str:
    """``color`` darkened until text is readable on white (contrast 4.5, WCAG 2.2)."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = to_rgb(color)
    while _luminance(rgb) > 0.183:  # (1 + 0.05) / (0.183 + 0.05) = 4.5
        rgb = (0.95 * rgb[0], 0.95 * rgb[1], 0.95 * rgb[2])
    return to_hex(rgb)


def _luminance(rgb: tuple[float, float, float]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def styled(text_size: float = 8.0) -> AbstractContextManager[None]:
    """Context manager with the project's matplotlib settings, for a text size in points."""
    return _only(_settings(text_size))


@contextmanager
def _only(settings: Any) -> Iterator[None]:
    """These settings and matplotlib's defaults, whatever a matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


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
    """Write ``figure`` as PNG, SVG or PDF, by the file's suffix, atomically.

    The same figure gives the same bytes: no date, no random identifiers. Text stays text in SVG and PDF.
    """
    suffixes = tuple(f".{name}" for name in FORMATS)
    if path.suffix not in suffixes:
        raise unknown_name(f"{path}: suffix", path.suffix, suffixes)
    dated: Any = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
    options: Any = {"svg.hashsalt": "crossnorm", "svg.fonttype": "none", "pdf.fonttype": 42}
    with _only(options), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dpi, metadata=dated)
