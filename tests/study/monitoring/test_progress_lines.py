"""The lines that stand for the progress bar where there is no terminal."""

from __future__ import annotations

from crossnorm.study.events import CohortStarted, Finished, Stepped
from crossnorm.study.monitoring import progress_bar
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.spec.plan import Cohort, make_plan
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.api.stored_studies import begun


def test_a_study_is_done_when_its_last_run_has_ended(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(progress_bar, "_LINE_SECONDS", 0)
    plan = make_plan(begun(tmp_path).spec)
    assert len(plan.runs) > 1
    with Progress(shown=True) as progress:
        listen = progress.begin(plan, plan.runs, plan.runs, lambda arm: 7)
        for seed in sorted({run.seed for run in plan.runs}):
            arms = tuple(run.arm for run in plan.runs if run.seed == seed)
            listen(0, CohortStarted(Cohort(seed, arms)))
            listen(0, Stepped(seed, dict.fromkeys(arms, 7)))
        for run in plan.runs:
            listen(0, Finished(run, Outcome(RunStatus.COMPLETE)))
    lines = [line for line in capsys.readouterr().err.splitlines() if " runs, " in line]
    assert lines[-1].startswith(f"{len(plan.runs)} of {len(plan.runs)} runs, 100 %")
    assert lines[-2].startswith(f"{len(plan.runs) - 1} of {len(plan.runs)} runs, 99 %")
