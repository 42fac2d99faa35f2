"""The functions behind `crossnorm` and the command line: they combine studies, statistics and reports.

The work itself is done in those packages.
"""

from crossnorm.api._asked_again import ask_again
from crossnorm.api._audit import audit
from crossnorm.api._bench import bench
from crossnorm.api._compare import compare
from crossnorm.api._picture import picture
from crossnorm.api._result import Result
from crossnorm.api._stored_result import default_folder, look_at, read_result
from crossnorm.api._study import Study
from crossnorm.api._table_files import refuse_studies
from crossnorm.api._train import evaluate_checkpoint, train_run
from crossnorm.api._watch import watch

__all__ = [
    "Result",
    "Study",
    "ask_again",
    "audit",
    "bench",
    "compare",
    "default_folder",
    "evaluate_checkpoint",
    "look_at",
    "picture",
    "read_result",
    "refuse_studies",
    "train_run",
    "watch",
]
