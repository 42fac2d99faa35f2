"""`bench`: training and evaluation speed on this machine, and the overhead of each variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from crossnorm.errors import BadInput
from crossnorm.io import read_json, write_json
from crossnorm.study.monitoring.eta import Pace, remaining
from crossnorm.study.storage.environment import describe_environment
from crossnorm.training.benchmark.benchmark import Bench, BenchSettings, measure

__all__ = ["bench", "bench_fields"]


def bench(settings: BenchSettings | None = None, *, out: Path | str | None = None, progress: bool = True) -> Bench:
    """Measure training and evaluation on random examples, and the overhead of each variant.

    Args:
        settings: What to measure; None: the defaults.
        out: A JSON file to write. An earlier bench is replaced.
        progress: Show a progress bar on stderr.

    Raises:
        BadInput: Unknown model, setting or device; a recipe that does not support the model's inputs; `out` holds
            something else, or its folder does not exist.
    """
    target = None if out is None else Path(out)
    if target is not None:
        _check_target(target)
    found = _measure(settings or BenchSettings(), progress)
    if target is not None:
        _write(target, found)
    return found


def _measure(settings: BenchSettings, shown: bool) -> Bench:
    columns = TextColumn("measuring"), BarColumn(bar_width=30), TextColumn("{task.fields[left]}")
    # A thread that redraws the bar would disturb the measurement: it is redrawn between turns.
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True, auto_refresh=False) as bar:
        task, pace = bar.add_task("", total=None, left=""), Pace(0)

        def advance(done: int, total: int) -> None:
            pace.total = total
            pace.advance(1)
            bar.update(task, completed=done, total=total, left=remaining(pace.seconds_left), refresh=True)

        return measure(settings, advance)


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise BadInput("out", "a file in an existing folder", str(target))
    held = read_json(target) if target.is_file() else None
    if target.exists() and not (isinstance(held, dict) and held.keys() >= {"settings", "overhead"}):
        raise BadInput("out", "a new file, or one that an earlier bench wrote", str(target))


def bench_fields(found: Bench) -> dict[str, Any]:
    """The measurements as JSON values, with versions and hardware."""
    return {**TypeAdapter(Bench).dump_python(found, mode="json"), "environment": describe_environment()}


def _write(target: Path, found: Bench) -> None:
    try:
        write_json(target, bench_fields(found))
    except OSError as error:
        raise BadInput.because(f"out {target}", error.strerror or str(error)) from None
