"""Names of arms, metrics and messages can neither leave the folder nor act in the page or the terminal."""

from __future__ import annotations

import torch

from crossnorm.api._stored_result import result_of
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import locked
from crossnorm.study.workload.function_run import run_function

NAMES = ["../../up", "/etc/x", "a\\b", "..", "<script>alert(1)</script>", "{{7*7}}", "CON", "a'\"b", "=1+1", "[red]x"]
METRIC = "</script><img src=x onerror=alert(2)>"


def train(run):
    run.log(0, loss=run.seed, **{METRIC: 1.0})
    if run.arm == "..":
        raise RuntimeError("\x1b]0;title\x07<b>bold</b>\nsecond line")


def test_names_stay_in_the_folder_and_do_nothing_in_the_page(tmp_path):
    arms = [{"name": name} for name in NAMES]
    fields = {"function": "m:f", "metric": "loss", "direction": "lower", "arms": arms, "seeds": 3, "name": "<i>s</i>"}
    plan, folder = make_plan(parse_spec(fields, "x")), tmp_path / "deep" / "er" / "out"
    with locked(folder):
        plan, record = open_folder(folder, plan, "digest")
        for run in plan.runs:
            run_function(plan, train, run, folder, torch.device("cpu"), lambda event: None)
        result_of(folder, plan, record, plan.runs).save(folder)
    assert all(folder in path.parents for path in tmp_path.rglob("*") if path.is_file())
    assert len(list((folder / "runs").iterdir())) == 1 + len(NAMES)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for harm in ("<script>alert", "<img src=x", "<b>bold", "<i>s</i>", "\x1b"):
        assert harm not in page, harm
    reason = RunFolder(folder, Run("..", 0)).read().result["reason"]
    assert "title" in reason
    assert reason.isprintable()
