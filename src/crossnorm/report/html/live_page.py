"""The live page: what report.html shows, with progress above it, for a browser that asks again and again.

Knows progress as plain numbers, a table and a verdict; knows nothing of folders, processes or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from crossnorm.report.formatting import duration, number
from crossnorm.report.html.report_page import environment, static_files, write_page
from crossnorm.stats import Table, Verdict

__all__ = ["LiveProgress", "LiveWorker", "live_page", "progress_html", "waiting_page"]

State = Literal["waiting", "running", "silent", "stopped", "done"]

_SAID = {
    "waiting": ("Waiting", "for the study to begin."),
    "running": ("Running.", ""),
    "silent": ("Stopped without a word.", "Its process is gone; the same command goes on where it stopped."),
    "stopped": ("Not running.", "The same command goes on where it stopped."),
    "done": ("Done.", "Every run has ended."),
}


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    """One worker: what it trains, the share of it that is done, examples a second and peak memory in bytes."""

    number: int
    seed: int
    arms: tuple[str, ...]
    share: float
    speed: float | None = None
    memory: int | None = None


@dataclass(frozen=True, kw_only=True)
class LiveProgress:
    """How far a study is.

    Args:
        state: Whether it waits to begin, runs, was killed ("silent"), was stopped, or is done.
        runs: All runs called for so far.
        done: Those with an outcome, failed ones among them.
        failed: Diverged or crashed.
        running: In training now.
        share: Of the whole training, 0 to 1.
        seconds_left: None: not known.
        workers: Those at work.
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
        """Runs that nobody has begun, or that wait to be gone on with."""
        return self.runs - self.done - self.running

    @property
    def headline(self) -> str:
        """The state in a word."""
        return _SAID[self.state][0]

    @property
    def detail(self) -> str:
        """What the state means for the reader."""
        return _SAID[self.state][1]


def progress_html(progress: LiveProgress) -> str:
    """The progress as a fragment of the page."""
    templates = environment()
    templates.filters |= {"duration": duration, "speed": _speed, "memory": _memory}
    return templates.get_template("progress.html").render(progress=progress)


def live_page(*, table: Table, verdict: Verdict, facts: Mapping[str, Any], progress: LiveProgress) -> str:
    """The page of a study that has begun; facts as in `crossnorm.report.write_report`."""
    return write_page(table=table, verdict=verdict, facts=facts, progress=progress_html(progress))


def waiting_page(title: str, headline: str, message: str, progress: LiveProgress) -> str:
    """The page where there is nothing to show yet, or nothing that can be read."""
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
            static=static_files("report.css", "report.js", "live.js"),
        )
    )


def _speed(value: float | None) -> str:
    return "not measured" if value is None else number(value, digits=2 if value < 100 else 3)


def _memory(value: int | None) -> str:
    return "not measured" if value is None else f"{value / 2**20:.0f} MiB"
