"""Every verdict stored in results/ follows, byte for byte, from the table stored beside it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossnorm.metric import Metric
from crossnorm.stats import estimate, table_from_records
from tests.repository import IS_CHECKOUT, ROOT

RESULTS = ROOT / "results"
FOLDERS = sorted(file.parent for file in RESULTS.rglob("verdict.json") if (file.parent / "table.csv").exists())


@pytest.mark.skipif(not IS_CHECKOUT, reason="the sdist has no results")
def test_results_hold_verdicts() -> None:
    """The test below is not empty where there is a results folder."""
    assert len(FOLDERS) >= 5


def scope(study: dict[str, Any]) -> str:
    """Model, task, examples and recipe of a study file, as the sentence names them."""
    model, recipe, limit = study["model"], study["recipe"], study["train_examples"]
    data = study["task"] + (f" with {limit} training examples" if limit else "")
    training = f"{recipe.get('optimizer', 'adamw')} at {recipe['lr']:g}, {study['epochs']} epochs"
    return f"{model.get('name') or model['from']} on {data}, recipe {recipe['name']} ({training})"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(RESULTS)))
def test_a_stored_verdict_follows_from_its_table(folder: Path) -> None:
    """The same words, numbers and sentence, from table.csv and the declarations in study.yaml alone."""
    study = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        table = table_from_records(csv.DictReader(file))
    verdict = estimate(
        table,
        study=study["name"],
        metric=Metric.parse(study["metric"]),
        margin=study["margin"],
        confidence=study["confidence"],
        scope=scope(study),
    )
    assert verdict.to_json() == (folder / "verdict.json").read_text(encoding="utf-8")
