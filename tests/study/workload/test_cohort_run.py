"""One cohort carried out in this process, killed where it hurts."""

from __future__ import annotations

import pytest
import torch

from crossnorm.study.spec.plan import Cohort, Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.cohort_run import run_cohort
from crossnorm.study.workload.validate import load_study_task
from crossnorm.training.loop.outcome import RunStatus
from tests.study.study_cases import TINY

RUN = Run("baseline", 1)


def carried_out(spec, folder):
    plan, task = make_plan(spec), load_study_task(spec)
    folder.mkdir(exist_ok=True)
    run_cohort(plan, Cohort(1, ("baseline",)), task, folder, torch.device("cpu"), lambda event: None)


@pytest.mark.parametrize("epochs", [1, 2])
def test_divergence_that_a_kill_kept_from_being_recorded_is_found_again(tmp_path, monkeypatch, epochs):
    spec = parse_spec(TINY | {"recipe": {"name": "quick", "lr": 1e30}, "epochs": epochs}, "x")

    def killed(own, outcome, details):
        assert outcome.status is RunStatus.DIVERGED
        raise KeyboardInterrupt

    carried_out(spec, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            carried_out(spec, tmp_path / "killed")
    carried_out(spec, tmp_path / "killed")
    whole, again = (RunFolder(tmp_path / name, RUN).read().result for name in ("whole", "killed"))
    assert again["status"] == "diverged"
    assert (again["reason"], again["step"]) == (whole["reason"], whole["step"])
