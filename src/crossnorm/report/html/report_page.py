"""report.html: one file that holds the answer, its pictures and tables, and all that is needed to repeat it.

Knows a table, a verdict and facts about the study; knows nothing of a study's folder beyond the three files it
writes there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.errors import unknown_name
from crossnorm.io import atomic_path
from crossnorm.report.figures.alpha_trend import trend_figure
from crossnorm.report.figures.arm_groups import ramped, spaced
from crossnorm.report.figures.learned_alpha import learned_arms, learned_figure
from crossnorm.report.figures.learning_curves import curves_figure
from crossnorm.report.figures.style import FigureStyle, save
from crossnorm.report.formatting import interval, interval_note, metric_name, number, pairs_cost
from crossnorm.report.html.chart_data import chart_data
from crossnorm.stats import Table, Verdict, robustness_checks

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["Facts", "environment", "render_page", "static_files", "write_page", "write_report"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the page says beside the numbers; whatever is empty is left out.

    Args:
        title: Heading; default the study's name.
        description: A paragraph under it.
        command: The exact command that repeats the study.
        plan_yaml: The resolved plan, as YAML.
        versions: Name → version.
        hardware: Name → value.
        extensions: What was added later, each as text or as a mapping.
        failures: One mapping per failed run: arm, seed, status ("diverged" or "crashed"), reason.
        revision: The code's revision.
        seconds_per_seed: What one more seed of every arm takes one worker; prices the pairs needed.
    """

    title: str = ""
    description: str = ""
    command: str = ""
    plan_yaml: str = ""
    versions: Mapping[str, Any] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[Any, ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()
    revision: str = ""
    seconds_per_seed: float | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Facts:
        """The facts out of a mapping; None counts as absent.

        Raises:
            BadInput: a key that the page does not know.
        """
        known = [entry.name for entry in fields(cls)]
        for name in facts:
            if name not in known:
                raise unknown_name("facts", name, known)
        lists = {name: tuple(facts.get(name) or ()) for name in ("extensions", "failures")}
        return cls(**{name: value for name, value in facts.items() if value is not None} | lists)


def write_report(
    directory: Path,
    *,
    table: Table,
    verdict: Verdict,
    facts: Mapping[str, Any],
    style: FigureStyle = FigureStyle(),  # noqa: B008 (frozen)
) -> None:
    """Write the figures ``curves`` and ``trend`` and ``report.html`` into ``directory``, each whole or not at all.

    Where a schedule moves α there is also ``curves-alpha.png``, the same curves against α; where α is learned,
    ``alpha-learned.png``, what was chosen at each site. The same input gives the
    same bytes.

    Args:
        directory: An existing folder.
        table: The runs.
        verdict: What ``crossnorm.stats.analyse`` says of them.
        facts: Keys of `Facts`.
        style: Formats, width and text size of the figures; default PNG, page width.

    Raises:
        BadInput: an unknown key among the facts, or a style that leaves no room.
    """
    html = render_page(table=table, verdict=verdict, facts=facts)
    look: dict[str, Any] = {"size": style.width, "text_size": style.font_size}
    figures = {
        "curves": curves_figure(table, verdict, **look),
        "trend": trend_figure(table, verdict, **look),
    }
    if ramped(table):
        figures["curves-alpha"] = curves_figure(table, verdict, over_alpha=True, **look)
    if learned_arms(table):
        figures["alpha-learned"] = learned_figure(table, verdict, **look)
    for name, figure in figures.items():
        for ending in style.formats:
            save(figure, directory / f"{name}.{ending}")
    with atomic_path(directory / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")


def render_page(*, table: Table, verdict: Verdict, facts: Mapping[str, Any]) -> str:
    """The page as text; see `write_report`."""
    return write_page(table=table, verdict=verdict, facts=facts)


def write_page(*, table: Table, verdict: Verdict, facts: Mapping[str, Any], progress: str | None = None) -> str:
    """The page, whole in itself; or, with a fragment that shows progress, the live one, which asks its server."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    known, live = Facts.of(facts), progress is not None
    templates = environment()
    templates.filters |= {"number": number, "interval": interval, "metric": metric_name, "dose": _dose, "said": _said}
    templates.filters["cost"] = partial(pairs_cost, seconds_per_seed=known.seconds_per_seed)
    data = chart_data(table, verdict)
    return templates.get_template("report.html").render(
        title=known.title or verdict.study,
        facts=known,
        verdict=verdict,
        note=interval_note(verdict),
        values=_values(data),
        pairing=_pairing(data),
        robustness=robustness_checks(verdict),
        trends=[row for row in (verdict.trend, *verdict.trends) if row.slope is not None],
        failed=sum(row.diverged + row.crashed for row in verdict.arms),
        data_metric=data["metric"],
        data_trend=data["trend"],
        data=Markup(embedded(data)),
        live=live,
        progress=Markup(progress or ""),
        plotly="" if live else Markup(get_plotlyjs().replace("</script", "<\\/script")),
        static=static_files("report.css", "report.js", *(["live.js"] if live else [])),
    )


def environment() -> Environment:
    """The templates, with every value escaped and every unknown name an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("crossnorm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def embedded(data: Any) -> str:
    """JSON that can stand inside a script element: no NaN, and no ``<``, ``>`` or ``&`` that HTML could take up."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def static_files(*names: str) -> dict[str, Markup]:
    """Style and scripts that lie beside the templates, by name."""
    from importlib.resources import files

    from markupsafe import Markup

    folder = files("crossnorm.report") / "templates"
    return {name: Markup((folder / name).read_text(encoding="utf-8")) for name in names}


def _dose(alpha: float | None) -> str:
    return "–" if alpha is None else f"{alpha:g}".replace("-", "−")


def _said(extension: Any) -> str:
    """An extension as one line of text."""
    if isinstance(extension, Mapping):
        return ", ".join(f"{key}: {_said(value)}" for key, value in extension.items())
    if isinstance(extension, list | tuple):
        return ", ".join(map(_said, extension))
    return str(extension)


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The curves of the decided metric as a table: at most ten evaluations, a mean per arm and evaluation."""
    if data["metric"] is None:
        return {"steps": [], "rows": []}
    level, axes = data["metrics"][data["metric"]]["level"], data["axes"]
    axis = axes["epoch"] if "shared" in axes.get("epoch", {}) else axes["step"]
    means_of = {
        arm["name"]: dict(zip(data["places"][level[arm["name"]]["at"]], level[arm["name"]]["mean"], strict=True))
        for arm in data["arms"]
    }
    # Crowded curves are thinned: only what is drawn has a mean, and arms may be drawn at evaluations of their own.
    drawn = sorted(set.intersection(*map(set, means_of.values())) or set.union(*map(set, means_of.values())))
    places = [drawn[k] for k in spaced(len(drawn), 10)]
    rows = []
    for arm in data["arms"]:
        band, means = level[arm["name"]], means_of[arm["name"]]
        rows.append((arm["name"], band["n"], [means.get(place) for place in places]))
    return {"label": axis["label"], "steps": [axis["shared"][place] for place in places], "rows": rows}


def _pairing(data: Mapping[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """Arm, correlation and variance ratio at the last evaluation."""
    found = data["pairing"]
    if found is None:
        return []
    names = [arm["name"] for arm in data["arms"][1:]]
    return [
        (name, correlation[-1], ratio[-1])
        for name, correlation, ratio in zip(names, found["correlation"], found["ratio"], strict=True)
    ]
