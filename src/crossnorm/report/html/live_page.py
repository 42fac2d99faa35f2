"""The live page: report.html with a progress section, updated by its script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crossnorm.report.formatting import NOT_MEASURED, duration, memory, number
from crossnorm.report.html.report_page import environment, render_page, static_files
from crossnorm.stats import Table, Verdict

__all__ = ["LiveProgress", "LiveWorker", "live_page", "progress_html", "waiting_page"]

State = Literal["waiting", "running", "silent", "stopped", "done"]

_HEADLINES = {
    "waiting": ("Waiting.", "The study has not started yet."),
    "running": ("Running.", ""),
    "silent": ("Process died unexpectedly.", "Run the same command again to resume."),
    "stopped": ("Stopped.", "Run the same command again to resume."),
    "done": ("Done.", "All runs have ended."),
}


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    """One worker: its seed and arms, share completed, examples per second, and peak memory in bytes."""

    number: int
    seed: int
    arms: tuple[str, ...]
    share: float
    speed: float | None = None
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class LiveProgress:
    """Progress of a study.

    Args:
        state: "waiting" to start, "running", killed ("silent"), "stopped" or "done".
        runs: Number of runs requested so far.
        done: Runs with an outcome, failed ones included.
        failed: Diverged or crashed runs.
        running: Runs in training.
        share: Completed share of the training, 0 to 1.
        seconds_left: Estimated remaining time; None: unknown.
        workers: The active workers.
    """

    state: State
    runs: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    share: float = 0.0
    seconds_left: float | None = None
    workers: tuple[LiveWorker, ...] = ()

    @property
    def to_come(self) -> int:
        """Runs that have not started or wait to be resumed."""
        return self.runs - self.done - self.running

    @property
    def headline(self) -> str:
        """The state, in a word."""
        return _HEADLINES[self.state][0]

    @property
    def detail(self) -> str:
        """What to do, or what the state means."""
        return _HEADLINES[self.state][1]


def progress_html(progress: LiveProgress) -> str:
    """The progress section as HTML."""
    templates = environment()
    templates.filters |= {"duration": duration, "speed": _speed, "memory": memory}
    return templates.get_template("progress.html").render(progress=progress)


def live_page(*, table: Table, verdict: Verdict, facts: Mapping[str, Any], progress: LiveProgress) -> str:
    """The page of a study that has started; facts as in `crossnorm.report.write_report`."""
    return render_page(table=table, verdict=verdict, facts=facts, progress=progress_html(progress))


def waiting_page(title: str, headline: str, message: str, progress: LiveProgress) -> str:
    """The page while there are no results, or if they cannot be read."""
    from markupsafe import Markup

    return (
        environment()
        .get_template("waiting.html")
        .render(
            title=title,
            headline=headline,
            message=message,
            progress=Markup(progress_html(progress)),
            live=True,
            data="null",
            static=static_files("report.css", "theme.js", "report.js", "live.js"),
        )
    )


def _speed(value: float | None) -> str:
    return NOT_MEASURED if value is None else number(value, digits=2 if value < 100 else 3)
