"""`bench`: how fast this machine trains, and what the variants cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from crossnorm.errors import BadInput
from crossnorm.io import read_json, write_json
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.storage.environment import describe_environment
from crossnorm.training.benchmark.bench_records import Bench, BenchSettings
from crossnorm.training.benchmark.process import run_bench

__all__ = ["bench"]


def bench(
    settings: BenchSettings | None = None,
    *,
    out: Path | str | None = None,
    imports: Sequence[str] = (),
    progress: bool = True,
) -> Bench:
    """Measure training and evaluation on random examples, the machine's ceiling, and the overhead of variants.

    A process of its own measures, started as the workers of a study are.

    Args:
        settings: What is measured; None: the defaults.
        out: A JSON file to write; an earlier bench there is replaced.
        imports: Modules with variants of one's own.
        progress: Whether a bar is shown on the error stream.

    Raises:
        BadInput: A model, recipe, variant or device that does not exist or does not fit; a file that holds something
            else, or whose folder is missing.
    """
    target = None if out is None else Path(out)
    if target is not None:
        _check_target(target)
    with Progress(shown=progress) as bars:
        found = run_bench(settings or BenchSettings(), _advancing(bars), imports)
    if target is not None:
        _write(target, found)
    return found


def _advancing(bars: Progress) -> Callable[[int, int], None]:
    """What moves a bar whose length is known at the first turn."""
    advance: Callable[[int], None] | None = None

    def told(done: int, total: int) -> None:
        nonlocal advance
        if advance is None:
            advance = bars.steps("bench", total)
            advance(0)
        advance(1)

    return told


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise BadInput(f"--out {target}", "a file in a folder that exists", f"no folder {target.parent}")
    held = read_json(target) if target.is_file() else None
    if target.exists() and not (isinstance(held, dict) and held.keys() >= {"speed", "overhead"}):
        raise BadInput(f"--out {target}", "a name that is free, or an earlier bench", "something else")


def _write(target: Path, found: Bench) -> None:
    about = TypeAdapter(Bench).dump_python(found, mode="json")
    try:
        write_json(target, {**about, "environment": describe_environment()})
    except OSError as error:
        raise BadInput(f"--out {target}", "a place that can be written", error.strerror or str(error)) from None
