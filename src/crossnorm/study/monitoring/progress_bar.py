"""Progress of a study on the error stream: a bar in all, with the time left, and a bar per worker.

Knows the events of the executor; knows nothing of results: no number of a learning curve is shown while pairs are
still coming in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from crossnorm.study.monitoring.eta import Every, Pace, remaining
from crossnorm.study.spec.plan import Arm, Plan, Run

__all__ = ["Progress"]

_LINE_SECONDS = 20.0  # between two lines where no bar can be drawn


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
            TextColumn("elapsed", style="dim"),
            TextColumn("{task.fields[left]}"),
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
            self._load = self.bars.add_task("reading the data", total=total, note="", left="")
        self.bars.update(self._load, completed=done, total=total)

    def say(self, text: str) -> None:
        """Say what is about to be done."""
        if self.shown:
            self.console.print(escape(text), style="dim", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Say what went otherwise than it should."""
        self.console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)

    def steps(self, description: str, total: int) -> Callable[[int], None]:
        """Start the bar of one run; give back what advances it, told first of the steps restored."""
        if self._load is not None:
            self.bars.remove_task(self._load)
        bar = self.bars.add_task(f"[bold]{escape(description)}[/]", total=total, note="", left="")
        pace: Pace | None = None

        def advance(steps: int) -> None:
            nonlocal pace
            if pace is None:  # the first call tells what was restored
                pace = Pace(total, steps)
            else:
                pace.advance(steps)
            self.bars.update(bar, completed=pace.done, left=remaining(pace.seconds_left))

        return advance

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
        return _Listener(self, {arm.name: steps(arm) for arm in plan.arms}, plan.spec.name, runs, todo)


class _Listener:
    """Advances the bars; where none can be drawn, a line now and then says how far the study is."""

    def __init__(self, progress: Progress, steps: dict[str, int], study: str, runs: Sequence[Run], todo: Sequence[Run]):
        self.bars, self.console, self.steps = progress.bars, progress.console, steps
        self.plain, self.lines = not progress.console.is_terminal and progress.shown, Every(_LINE_SECONDS)
        self.done, self.count = len(runs) - len(todo), len(runs)
        total = sum(steps[run.arm] for run in runs) or 1
        self.pace = Pace(total, total - sum(steps[run.arm] for run in todo))
        self.total = self.bars.add_task(f"[bold]{escape(study)}[/]", total=total, note="", left="")
        self._update()
        if self.done and todo:
            self.console.print(f"{self.done} of {self.count} runs are done already.", style="dim", highlight=False)
        self.workers: dict[int, TaskID] = {}

    def __call__(self, number: int, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "cohort":
            self._cohort(number, event)
        elif kind == "step":
            self.pace.advance(event["members"], restored=event.get("resumed", False))
            self.bars.advance(self.workers[number], event["members"])
            self._update()
        elif kind == "finished":
            self.done += 1
            self._update()
            if event["status"] != "complete":
                text = f"{event['arm']}, seed {event['seed']} {event['status']}: {event['reason']}"
                self.console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)
        elif kind == "note":
            self.console.print(escape(event["text"]), style="yellow", highlight=False)

    def _update(self) -> None:
        runs, left = f"{self.done} of {self.count} runs", remaining(self.pace.seconds_left)
        self.bars.update(self.total, completed=self.pace.done, note=runs, left=left)
        if self.plain and (self.lines.due() or self.done == self.count):
            share = f"{100 * self.pace.done / self.pace.total:.0f} %"
            self.console.print(", ".join(filter(None, [runs, share, left])), highlight=False)

    def _cohort(self, number: int, event: dict[str, Any]) -> None:
        arms = event["arms"]
        what = arms[0] if len(arms) == 1 else f"{len(arms)} arms"
        if number not in self.workers:
            self.workers[number] = self.bars.add_task(f"  worker {number + 1}", total=1, note="", left="")
        self.bars.reset(
            self.workers[number],
            total=sum(self.steps[arm] for arm in arms),
            note=f"seed {event['seed']}, {escape(what)}",
            left="",
        )
