"""What follows a crash: the run is retried once, or the crash is recorded, or the study stops."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from pathlib import Path

from crossnorm.errors import BadInput, StudyStopped
from crossnorm.study.events import Finished, Listener, Note
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Cause, Outcome, RunStatus

__all__ = ["Retries"]

_TRIES = 2
_HOPELESS = 2  # seeds


class Retries:
    """Counts the tries of a study's runs, and stops the study where more of them are pointless.

    Args:
        folder: The study's folder.
        plan: The study's plan.
        pending: The queue of cohorts; retried runs are put first.
        listen: Receives a note for every retry, and `Finished` for a run that crashed for the last time.
    """

    def __init__(self, folder: Path, plan: Plan, pending: deque[Cohort], listen: Listener) -> None:
        self._folder, self._plan, self._pending, self._listen = folder, plan, pending, listen
        self._tries: Counter[Run] = Counter()
        self._crashed: defaultdict[str, list[Run]] = defaultdict(list)

    def crashed(self, worker: int, run: Run, outcome: Outcome) -> None:
        """Retry a run that crashed in this worker, or record the crash.

        A run is retried alone in its cohort and from its checkpoint, unless the code is at fault: then it would crash
        again.

        Raises:
            StudyStopped: The arm has crashed on two seeds and finished on none.
            BadInput: A training function does not log the study's metric, and no run has logged it.
        """
        self._tries[run] += 1
        if self._tries[run] < _TRIES and outcome.cause not in (Cause.CODE, Cause.METRIC):
            self._pending.appendleft(Cohort(run.seed, (run.arm,)))
            self._listen(worker, Note(f"{run.arm}, seed {run.seed}: {outcome.reason}; retrying."))
            return
        own = RunFolder(self._folder, run, self._plan)
        own.finish(outcome, {"tries": self._tries[run]})
        self._listen(worker, Finished(run, outcome))
        if outcome.cause is Cause.METRIC and not self._any_finished(self._plan.runs):
            raise BadInput.because("metric", str(outcome.reason))
        self._listen(worker, Note(f"Log of the crash: {own.log}"))
        self._stop_if_hopeless(run, outcome)

    def lost(self, worker: int, cohort: Cohort, reason: str) -> None:
        """Count the unfinished runs of a cohort as crashed: its worker has died."""
        for run in cohort.runs:
            if not RunFolder(self._folder, run, self._plan).finished:
                self.crashed(worker, run, Outcome(RunStatus.CRASHED, reason, Cause.MACHINE))

    def _any_finished(self, runs: tuple[Run, ...]) -> bool:
        return any(RunFolder(self._folder, run, self._plan).finished for run in runs)

    def _stop_if_hopeless(self, run: Run, outcome: Outcome) -> None:
        crashed = self._crashed[run.arm]
        crashed.append(run)
        if len(crashed) < _HOPELESS or not self._pending:
            return
        if not self._any_finished(tuple(Run(run.arm, seed) for seed in self._plan.seeds)):
            seeds = " and ".join(str(each.seed) for each in crashed)
            again = "the same command" if self._plan.spec.function is None else "it into another output folder"
            raise StudyStopped(
                f"{self._folder}: stopped, because arm {run.arm} crashed on seeds {seeds} and finished on none: "
                f"{outcome.reason}. Log: {RunFolder(self._folder, run).log}. Finished runs are kept. Mend the "
                f"code and run {again}, or remove the arm and give another output folder."
            )
