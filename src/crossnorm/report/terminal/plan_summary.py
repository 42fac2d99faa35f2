"""Terminal summary of a plan: cost and statistical power, estimated without running the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossnorm.report.formatting import NOT_MEASURED, contrast_name, count, duration, metric_name, number, percent
from crossnorm.stats import Outlook, Prospect

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

    from crossnorm.study.planning.cost import Cost
    from crossnorm.study.planning.estimate import Estimate

__all__ = ["plan_summary"]

_MOST_NAMES = 12  # of listed arms
_SOURCES = {
    "stored runs": "from stored runs",
    "pilot": "from the pilot, one epoch",
    "measured steps": "from a few steps, measured now",
}


def plan_summary(estimate: Estimate) -> Group:
    """Tables of cost and power, and notes, at most 80 columns wide."""
    from rich.console import Group
    from rich.text import Text

    parts = [_study_table(estimate), _cost_table(estimate), _outlook_table(estimate)]
    return Group(*parts, *(Text(f"Note: {note}", style="dim") for note in _notes(estimate)))


def _notes(estimate: Estimate) -> list[str]:
    notes = list(estimate.notes)
    if estimate.cost.hours is None:
        notes.append("The time of a run of the function is unknown until the first one is complete.")
    if estimate.outlook.arm.sd is None:
        pilot = "" if estimate.function else "--pilot trains 3 pairs for one epoch; "
        notes.append(
            "The standard deviation of paired differences is not measured; this needs 3 complete pairs. "
            f"{pilot}crossnorm plot with 3 seeds trains them in full."
        )
    if estimate.most_seeds:
        notes.append("Runs and times are for the largest number of seeds; the study stops when everything is decided.")
    if estimate.outlook.later != estimate.outlook.interval:
        notes.append("Seeds added after viewing results use sequential intervals, which need more seeds.")
    return notes


def _study_table(estimate: Estimate) -> RichTable:
    """What would be trained, every default written out."""
    fields = estimate.resolved
    table = _facts(f"{estimate.study}: study")
    if fields["task"] is not None:
        subset = "" if fields["train_examples"] is None else f", {fields['train_examples']} training examples"
        table.add_row("task", fields["task"] + subset)
    if estimate.function is None:
        table.add_row("model", _model(fields["model"], estimate.cost.parameters))
        recipe = {**fields["recipe"], "epochs": fields["epochs"]}
        table.add_row("recipe", _settings(recipe, drop=("flip", "accumulate", "precision")))
    elif fields["settings"]:
        table.add_row("settings", _settings(fields["settings"]))
    table.add_row("metric", f"{metric_name(fields['metric'])}, {fields['direction']} is better")
    table.add_row("margin", 'none: no arm can be "same"' if fields["margin"] is None else f"± {fields['margin']}")
    return table


def _model(fields: Mapping[str, Any], parameters: int | None) -> str:
    size = "" if parameters is None else f" ({parameters:,} parameters)"
    name = str(fields.get("name", fields.get("from", "")))
    return ", ".join([name + size, *filter(None, [_settings(fields, drop=("name", "from", "sha256"))])])


def _settings(fields: Mapping[str, Any], drop: Sequence[str] = ()) -> str:
    """``quick, lr 0.008, …``: the name, then every setting that is on."""
    named = [str(fields["name"])] if "name" in fields and "name" not in drop else []
    on = {k: v for k, v in fields.items() if k not in (*drop, "name") and v not in (None, 0, False)}
    return ", ".join([*named, *(f"{key} {_shown(value)}" for key, value in on.items())])


def _shown(value: object) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list) else f"{value}"


def _cost_table(estimate: Estimate) -> RichTable:
    cost = estimate.cost
    table = _facts(f"{estimate.study}: cost")
    done = f"; {cost.runs_done} done" if cost.runs_done else ""
    table.add_row("runs", f"{cost.runs} ({cost.arms} arms × {cost.seeds} seeds{done})")
    table.add_row("arms", _listed(estimate.arms))
    table.add_row("training", _training(estimate))
    table.add_row("time per run", _time_per_run(cost))
    table.add_row("total time", _time_in_all(cost))
    if cost.disk_bytes is not None and cost.disk_peak_bytes is not None:
        table.add_row("disk", f"{_size(cost.disk_bytes)}; up to {_size(cost.disk_peak_bytes)} with checkpoints")
    return table


def _training(estimate: Estimate) -> str:
    cost = estimate.cost
    if estimate.function is not None:
        return f"by {estimate.function}"
    return f"{cost.steps:,} steps, {cost.images:,} examples ({cost.train_examples:,} per epoch)"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _time_per_run(cost: Cost) -> str:
    if cost.seconds_per_run is None or cost.source is None:
        return NOT_MEASURED
    return f"{duration(cost.seconds_per_run)}, {_SOURCES[cost.source]}"


def _time_in_all(cost: Cost) -> str:
    if cost.hours is None or cost.hours_left is None:
        return NOT_MEASURED
    left = f"; {duration(3600 * cost.hours_left)} left" if cost.runs_done else ""
    return f"{duration(3600 * cost.hours)} on this machine, {count(cost.workers, 'worker')}{left}"


def _outlook_table(estimate: Estimate) -> RichTable:
    outlook, cost = estimate.outlook, estimate.cost
    source = "" if estimate.noise is None else f", {_SOURCES[estimate.noise]}"
    table = _facts(f"Statistical power: {metric_name(outlook.metric)}{source}")
    columns = [outlook.arm] + ([] if outlook.trend is None else [outlook.trend])
    for _ in columns[1:]:
        table.add_column()
    table.add_row("", "one arm in its family", *(f"trend of {contrast_name(p.name)}" for p in columns[1:]))
    table.add_row("simultaneous over", *(count(p.comparisons, "comparison") for p in columns))
    table.add_row("standard deviation", *(_sd(p) for p in columns))
    if outlook.arm.sd is not None:
        table.add_row("measured on", *(f"{p.pairs} pairs" for p in columns))
    table.add_row(f"detectable, {count(outlook.seeds, 'seed')}", *(_detectable(p) for p in columns))
    if outlook.difference is not None:
        cells = (_needed(p, p.for_difference, cost) for p in columns)
        table.add_row(f"seeds to detect {number(abs(outlook.difference))}", *cells)
    if outlook.margin is not None:
        cells = (_needed(p, p.for_margin, cost) if p is outlook.arm else "" for p in columns)
        table.add_row(f"seeds for ± {number(outlook.margin)}", *cells)
    table.caption = _caption(outlook)
    return table


def _caption(outlook: Outlook) -> str:
    kinds = {"bonferroni-t": "Student-t", "sequential": "sequential"}
    text = (
        f"Detectable: smallest true difference detected with {percent(outlook.power)} power by "
        f"{percent(outlook.confidence)} {kinds[outlook.interval]} intervals; for a trend, per unit of α."
    )
    if outlook.difference is not None or outlook.margin is not None:
        text += " Seeds: likely (range due to the estimated sd), and the total time with that many seeds."
    if outlook.margin is not None:
        text += " Seeds for ±: until an interval's half-width reaches the margin."
    return text


def _facts(title: str) -> RichTable:
    """An empty table of names and values with a title."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(
        title=Text(title, style="bold"),
        title_justify="left",
        caption_justify="left",
        caption_style="dim",
        box=box.SIMPLE,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    return table


def _sd(prospect: Prospect) -> str:
    if prospect.sd is None or prospect.sd_range is None:
        return NOT_MEASURED
    low, high = prospect.sd_range
    return f"{number(prospect.sd)} ({number(low)}–{number(high)})"


def _detectable(prospect: Prospect) -> str:
    if prospect.sd is None:
        return NOT_MEASURED
    return "none: too few seeds" if prospect.detectable is None else f"± {number(prospect.detectable)}"


def _needed(prospect: Prospect, seeds: tuple[int, int, int] | None, cost: Cost) -> str:
    if prospect.sd is None:
        return NOT_MEASURED
    if seeds is None:
        return "not achievable"
    likely, low, high = seeds
    time = "" if cost.seconds_per_seed is None else f", {duration(likely * cost.seconds_per_seed / cost.workers)}"
    return f"{likely} ({low}–{high}){time}"


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
