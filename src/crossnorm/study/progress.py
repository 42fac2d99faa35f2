"""Progress of a study on the error stream: a bar in all, with the time left, and a bar per worker.

Knows the events of the executor; knows nothing of results: no number of a learning curve is shown while pairs are
still coming in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from crossnorm.study.plan import Arm, Plan, Run

__all__ = ["Progress"]


class Progress:
    """Bars around a study: loading its data, then its runs.

    Args:
        shown: False: nothing is printed but what went wrong.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.console, self.shown = Console(stderr=True), shown
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeElapsedColumn(),
            TextColumn("elapsed,", style="dim"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("left", style="dim"),
            console=self.console,
            disable=not shown,
            transient=True,
        )
        self._load: TaskID | None = None

    def __enter__(self) -> Progress:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()

    def loading(self, done: int, total: int) -> None:
        """So many examples of the task are decoded."""
        if self._load is None:
            self._load = self.bars.add_task("reading the data", total=total, note="")
        self.bars.update(self._load, completed=done, total=total)

    def note(self, text: str) -> None:
        """Say what went otherwise than it should."""
        self.console.print(escape(text), style="yellow", highlight=False)

    def steps(self, description: str, total: int) -> Callable[[int], None]:
        """Start the bar of one run; give back what advances it."""
        if self._load is not None:
            self.bars.remove_task(self._load)
        bar = self.bars.add_task(f"[bold]{escape(description)}[/]", total=total, note="")
        return lambda steps: self.bars.advance(bar, steps)

    def begin(
        self, plan: Plan, runs: Sequence[Run], todo: Sequence[Run], steps: Callable[[Arm], int]
    ) -> Callable[[int, dict[str, Any]], None]:
        """Start the bars of the runs that are to be done; give back what listens to the executor.

        Args:
            plan: The study.
            runs: All that are called for.
            todo: Those without an outcome.
            steps: How many an arm's run has, as its "step" events count them.
        """
        for bar in self.bars.task_ids:
            self.bars.remove_task(bar)
        return _Listener(self, {arm.name: steps(arm) for arm in plan.arms}, plan.spec.name, len(runs), todo)


class _Listener:
    def __init__(self, progress: Progress, steps: dict[str, int], study: str, count: int, todo: Sequence[Run]) -> None:
        self.bars, self.console, self.steps = progress.bars, progress.console, steps
        self.plain, self.started = not progress.console.is_terminal and progress.shown, time.monotonic()
        self.done, self.count, self.begun_with = count - len(todo), count, count - len(todo)
        total = sum(steps[run.arm] for run in todo) or 1
        self.total = self.bars.add_task(f"[bold]{escape(study)}[/]", total=total, note=self._runs())
        if self.done and todo:
            self.console.print(f"{self.done} of {self.count} runs are done already.", style="dim", highlight=False)
        self.workers: dict[int, TaskID] = {}

    def _runs(self) -> str:
        return f"{self.done} of {self.count} runs"

    def __call__(self, number: int, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "cohort":
            self._cohort(number, event)
        elif kind == "step":
            self.bars.advance(self.total, event["members"])
            self.bars.advance(self.workers[number], event["members"])
        elif kind == "finished":
            self.done += 1
            self.bars.update(self.total, note=self._runs())
            if self.plain:
                self._print_line()
            if event["status"] != "complete":
                text = f"{event['arm']}, seed {event['seed']} {event['status']}: {event['reason']}"
                self.console.print(escape(text), style="yellow", highlight=False)
        elif kind == "note":
            self.console.print(escape(event["text"]), style="yellow", highlight=False)

    def _print_line(self) -> None:
        """Where no bar can be drawn: a line at about every tenth of the runs, with the time left."""
        tenth = max(1, (self.count - self.begun_with) // 10)
        if (self.done - self.begun_with) % tenth and self.done < self.count:
            return
        elapsed = time.monotonic() - self.started
        left = elapsed / (self.done - self.begun_with) * (self.count - self.done)
        self.console.print(f"{self._runs()} done, about {left / 60:.1f} minutes left", highlight=False)

    def _cohort(self, number: int, event: dict[str, Any]) -> None:
        arms = event["arms"]
        what = arms[0] if len(arms) == 1 else f"{len(arms)} arms"
        if number not in self.workers:
            self.workers[number] = self.bars.add_task(f"  worker {number + 1}", total=1, note="")
        self.bars.reset(
            self.workers[number],
            total=sum(self.steps[arm] for arm in arms),
            note=f"seed {event['seed']}, {escape(what)}",
        )
