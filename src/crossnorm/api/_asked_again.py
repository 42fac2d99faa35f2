"""Another question to the stored runs of a study: another metric, direction or margin, without training."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from crossnorm.api._lost_runs import unfinished_cells
from crossnorm.api._result import Result
from crossnorm.api._stored_result import load, read_result
from crossnorm.io import encoded_name
from crossnorm.metric import Metric
from crossnorm.stats import brief, estimate, metric_words, with_endpoint
from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.spec.summary import scope_of
from crossnorm.study.storage.study_folder import note_results_seen
from crossnorm.study.storage.study_record import read_folder

__all__ = ["ask_again"]


def ask_again(
    folder: Path, *, metric: str | None = None, direction: str | None = None, margin: float | str | None = None
) -> tuple[Result, Path]:
    """The answer of a study's stored runs to a question chosen after the runs, and the folder to write it to.

    The answer says that the question was not declared. Its folder lies in the study's, so that the declared answer
    stays. A question that equals the declared one gives the declared answer and the study's folder.

    Args:
        folder: The study's folder.
        metric: As in `crossnorm.compare`; None: the declared one.
        direction: Which side of the metric is better; None: as declared, or as known for test_loss and test_accuracy.
        margin: Largest difference that counts as "same"; None: the declared one if the metric is, else none.

    Raises:
        BadInput: The folder holds no study, or what `compare` refuses.
    """
    result, found = read_result(folder, looking=True), read_folder(folder)
    assert found is not None  # read_result has read it
    plan, spec = found[0], found[0].spec
    declared = metric is None or metric == spec.metric or str(Metric.parse(metric)) == spec.metric
    side = direction or (spec.direction if declared and spec.function is not None else None)
    table, endpoint = with_endpoint(result.table, metric or spec.metric, side)
    size = spec.margin if margin is None and declared else margin
    if declared and size == spec.margin and direction in (None, spec.direction):
        return load(folder), folder
    verdict = estimate(
        table,
        study=spec.name,
        metric=endpoint,
        margin=size,
        confidence=spec.confidence,
        interval=result.verdict.interval,
        scope=scope_of(plan),
        remark=f"This question was chosen after the runs; the study declares {_declared(spec)}",
    )
    if unfinished_cells(table) and verdict.n_pairs:
        note_results_seen(folder)
    options = {"metric": str(endpoint), "direction": side, "margin": size}
    given = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None)
    facts = {**result.facts, "command": f"{result.facts['command']} && crossnorm report repeated {given}"}
    asked = replace(result, table=table, verdict=verdict, facts=facts, folder=None)
    words = [str(endpoint), "" if margin is None else f"margin-{margin}", direction or ""]
    return asked, folder / f"report-{encoded_name('-'.join(filter(None, words)))}"


def _declared(spec: StudySpec) -> str:
    size = brief(spec.margin) if isinstance(spec.margin, float) else spec.margin
    margin = "no margin" if size is None else f"margin {size}"
    return f"{metric_words(spec.endpoint)}, {spec.direction} is better, {margin}"
