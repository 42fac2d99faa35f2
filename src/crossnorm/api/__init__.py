"""The functions behind `crossnorm` and the command line: they combine studies, statistics and reports.

The work itself is done in those packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.api._asked_again import ask_again as ask_again
    from crossnorm.api._audit import audit as audit
    from crossnorm.api._bench import bench as bench
    from crossnorm.api._bench import bench_fields as bench_fields
    from crossnorm.api._compare import compare as compare
    from crossnorm.api._picture import picture as picture
    from crossnorm.api._result import Result as Result
    from crossnorm.api._stored_result import default_folder as default_folder
    from crossnorm.api._stored_result import load as load
    from crossnorm.api._stored_result import read_result as read_result
    from crossnorm.api._study import Study as Study
    from crossnorm.api._table_files import refuse_studies as refuse_studies
    from crossnorm.api._train import evaluate_checkpoint as evaluate_checkpoint
    from crossnorm.api._train import train_run as train_run
    from crossnorm.api._watch import watch as watch

_HOME = {
    "Result": "crossnorm.api._result",
    "Study": "crossnorm.api._study",
    "ask_again": "crossnorm.api._asked_again",
    "audit": "crossnorm.api._audit",
    "bench": "crossnorm.api._bench",
    "bench_fields": "crossnorm.api._bench",
    "compare": "crossnorm.api._compare",
    "default_folder": "crossnorm.api._stored_result",
    "evaluate_checkpoint": "crossnorm.api._train",
    "load": "crossnorm.api._stored_result",
    "picture": "crossnorm.api._picture",
    "read_result": "crossnorm.api._stored_result",
    "refuse_studies": "crossnorm.api._table_files",
    "train_run": "crossnorm.api._train",
    "watch": "crossnorm.api._watch",
}

__all__ = [
    "Result",
    "Study",
    "ask_again",
    "audit",
    "bench",
    "bench_fields",
    "compare",
    "default_folder",
    "evaluate_checkpoint",
    "load",
    "picture",
    "read_result",
    "refuse_studies",
    "train_run",
    "watch",
]

__getattr__ = lazy(__name__, _HOME)
