"""Progress bars on standard error: one for the study with the time left, one per worker.

They show no metrics: a study's results are not to be judged while pairs are incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from crossnorm.study.events import CohortStarted, Event, Finished, Listener, Note, Stepped
from crossnorm.study.monitoring.eta import Every, RunPace, remaining
from crossnorm.study.spec.plan import Arm, Cohort, Plan, Run
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["Progress"]

_LINE_SECONDS = 20.0  # between two lines if there is no terminal


class Progress:
    """Progress bars: loading the data, then the runs.

    Args:
        shown: Whether bars and messages are shown; notes are always printed.
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
        """Show how many of the task's examples are decoded."""
        if self._load is None:
            self._load = self.bars.add_task("loading data", total=total, note="", left="")
        self.bars.update(self._load, completed=done, total=total)

    def say(self, text: str) -> None:
        """Print a message."""
        if self.shown:
            self.console.print(escape(text), style="dim", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a warning."""
        self.console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)

    def begin(self, plan: Plan, runs: Sequence[Run], todo: Sequence[Run], steps: Callable[[Arm], int]) -> Listener:
        """Start the bars of a study; returns the listener that advances them.

        Args:
            plan: The study's plan.
            runs: All runs that are needed.
            todo: Those without an outcome.
            steps: The steps of a run of an arm, as `Stepped` events count them.
        """
        for bar in self.bars.task_ids:
            self.bars.remove_task(bar)
        return _StudyBars(self, {arm.name: steps(arm) for arm in plan.arms}, plan.spec.name, runs, todo)


class _StudyBars:
    """The bars of a study; without a terminal, a line every few seconds."""

    def __init__(self, progress: Progress, steps: dict[str, int], study: str, runs: Sequence[Run], todo: Sequence[Run]):
        self.bars, self.console, self.note, self.steps = progress.bars, progress.console, progress.note, steps
        self.cohorts: dict[int, Cohort] = {}
        self.plain, self.lines = not progress.console.is_terminal and progress.shown, Every(_LINE_SECONDS)
        self.done, self.count = len(runs) - len(todo), len(runs)
        self.pace = RunPace({run: steps[run.arm] for run in runs}, todo)
        self.total = self.bars.add_task(f"[bold]{escape(study)}[/]", total=1, note="", left="")
        self._update()
        if self.done and todo:
            text = f"{self.done} of {self.count} runs are already complete."
            self.console.print(text, style="dim", highlight=False)
        self.workers: dict[int, TaskID] = {}

    def __call__(self, number: int, event: Event) -> None:
        if isinstance(event, CohortStarted):
            self._start_cohort(number, event.cohort)
        elif isinstance(event, Stepped):
            self.pace.stepped(event)
            self.bars.update(self.workers[number], completed=self.pace.reached(self.cohorts[number].runs))
            self._update()
        elif isinstance(event, Finished):
            self.done += 1
            self.pace.ended(event.run)
            self._update()
            if event.outcome.status is not RunStatus.COMPLETE:
                self.note(f"{event.run.arm}, seed {event.run.seed} {event.outcome}")
        elif isinstance(event, Note):
            self.note(event.text)

    def _update(self) -> None:
        runs, left = f"{self.done} of {self.count} runs", remaining(self.pace.seconds_left)
        self.bars.update(self.total, completed=self.pace.share, note=runs, left=left)
        if self.plain and (self.lines.due() or self.done == self.count):
            share = f"{100 if self.done == self.count else min(99, int(100 * self.pace.share))} %"
            self.console.print(", ".join(filter(None, [runs, share, left])), highlight=False)

    def _start_cohort(self, number: int, cohort: Cohort) -> None:
        arms, self.cohorts[number] = cohort.arms, cohort
        what = arms[0] if len(arms) == 1 else f"{len(arms)} arms"
        if number not in self.workers:
            self.workers[number] = self.bars.add_task(f"  worker {number + 1}", total=1, note="", left="")
        self.bars.reset(
            self.workers[number],
            total=sum(self.steps[arm] for arm in arms),
            note=f"seed {cohort.seed}, {escape(what)}",
            left="",
        )
