"""report.html: one self-contained file with the answer, charts, tables and everything needed to reproduce it."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
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
from crossnorm.report.formatting import (
    answer_parts,
    contrast_name,
    dose,
    endpoint_name,
    interval,
    interval_note,
    metric_name,
    number,
    pairs_cost,
    percent,
)
from crossnorm.report.html.chart_data import chart_data
from crossnorm.stats import Table, Verdict, brief, caveats, robustness_checks

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["Facts", "environment", "render_page", "static_files", "write_report"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts on the page besides the results; empty ones are left out.

    Args:
        title: Heading; default the study's name.
        description: A line under the heading.
        command: The command that reproduces the study.
        plan_yaml: The resolved plan, as YAML.
        versions: Name → version.
        hardware: Name → value.
        extensions: Later additions of seeds or arms, as texts or mappings.
        failures: One mapping per failed run: arm, seed, status ("diverged" or "crashed"), reason.
        revision: Revision of the code.
        seconds_per_seed: Time of one more seed of all arms on one worker; gives the time of the pairs needed.
        classes: Number of classes of the task, to tell a baseline at chance.
        cautions: Notes on the stored files, such as runs that do not count.
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
    classes: int | None = None
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Facts:
        """The facts of a mapping; None means absent.

        Raises:
            BadInput: A key is unknown.
        """
        known = [entry.name for entry in fields(cls)]
        for name in facts:
            if name not in known:
                raise unknown_name("facts", name, known)
        lists = {name: tuple(facts.get(name) or ()) for name in ("extensions", "failures", "cautions")}
        return cls(**{name: value for name, value in facts.items() if value is not None} | lists)


def write_report(
    directory: Path,
    *,
    table: Table,
    verdict: Verdict,
    facts: Mapping[str, Any],
    style: FigureStyle = FigureStyle(),  # noqa: B008 (frozen)
) -> None:
    """Write ``report.html`` and the figures ``curves`` and ``trend`` into ``directory``, each atomically.

    With an α schedule there is also ``curves-alpha``, the curves over α; with a learned α also ``alpha-learned``, α of
    every site. The same input gives the same bytes.

    Args:
        directory: An existing folder.
        table: The runs.
        verdict: Their verdict.
        facts: Keys of `Facts`.
        style: Formats, width and text size of the figures; default PNG, page width.

    Raises:
        BadInput: A fact is unknown, or the figures are too narrow for their labels.
    """
    html = render_page(table=table, verdict=verdict, facts=facts)
    style_options: dict[str, Any] = {"size": style.width, "text_size": style.font_size}
    figures = {
        "curves": curves_figure(table, verdict, **style_options),
        "trend": trend_figure(table, verdict, **style_options),
    }
    if ramped(table):
        figures["curves-alpha"] = curves_figure(table, verdict, over_alpha=True, **style_options)
    if learned_arms(table):
        figures["alpha-learned"] = learned_figure(table, verdict, **style_options)
    for name, figure in figures.items():
        for suffix in style.formats:
            save(figure, directory / f"{name}.{suffix}")
    with atomic_path(directory / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")


def render_page(*, table: Table, verdict: Verdict, facts: Mapping[str, Any], progress: str | None = None) -> str:
    """The page as HTML: self-contained or, given its progress section as HTML, the live page.

    Args:
        table: The runs.
        verdict: Their verdict.
        facts: Keys of `Facts`.
        progress: HTML of the live page's progress section; None: the self-contained page.
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    known, live = Facts.of(facts), progress is not None
    templates = environment()
    templates.filters["cost"] = partial(pairs_cost, seconds_per_seed=known.seconds_per_seed)
    data = chart_data(table, verdict)
    return templates.get_template("report.html").render(
        title=known.title or verdict.study,
        facts=known,
        verdict=verdict,
        note=interval_note(verdict),
        caveats=(*known.cautions, *caveats(table, verdict, classes=known.classes)),
        endpoint=endpoint_name(verdict),
        answer=answer_parts(verdict),
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
        static=static_files("report.css", "theme.js", "report.js", *(["live.js"] if live else [])),
    )


def environment() -> Environment:
    """The templates with the formatting filters and autoescape; undefined names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("crossnorm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {"number": number, "interval": interval, "metric": metric_name, "dose": dose, "text": _text}
    filters |= {"sha256": _source}
    found.filters |= filters | {"percent": percent, "contrast": contrast_name, "brief": partial(brief, digits=3)}
    return found


def embedded(data: Any) -> str:
    """JSON for a script element: no NaN, and ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def static_files(*names: str) -> dict[str, Markup]:
    """Style sheets and scripts in the templates folder, by name."""
    from importlib.resources import files

    from markupsafe import Markup

    folder = files("crossnorm.report") / "templates"
    return {name: Markup((folder / name).read_text(encoding="utf-8")) for name in names}


def _source(script: str) -> str:
    """The entry of a page's Content-Security-Policy that lets exactly this script run."""
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _text(extension: Any) -> str:
    """A value of the facts as one line of text."""
    if isinstance(extension, Mapping):
        return ", ".join(f"{key}: {_text(value)}" for key, value in extension.items())
    if isinstance(extension, list | tuple):
        return ", ".join(map(_text, extension))
    return str(extension)


def _values(data: Mapping[str, Any]) -> dict[str, Any]:
    """The mean curves of the primary metric as a table of at most ten evaluations."""
    if data["metric"] is None:
        return {"steps": [], "rows": []}
    level, axes = data["metrics"][data["metric"]]["level"], data["axes"]
    axis = axes["epoch"] if "shared" in axes.get("epoch", {}) else axes["step"]
    means_of = {
        arm["name"]: dict(zip(data["places"][level[arm["name"]]["at"]], level[arm["name"]]["mean"], strict=True))
        for arm in data["arms"]
    }
    # Thinned curves have means at some evaluations only, and arms may differ in these.
    drawn = sorted(set.intersection(*map(set, means_of.values())) or set.union(*map(set, means_of.values())))
    shown = [drawn[k] for k in spaced(len(drawn), 10)]
    rows = []
    for arm in data["arms"]:
        band, means = level[arm["name"]], means_of[arm["name"]]
        rows.append((arm["name"], band["n"], [means.get(position) for position in shown]))
    return {"label": axis["label"], "steps": [axis["shared"][position] for position in shown], "rows": rows}


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
