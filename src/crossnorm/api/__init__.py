"""The only place that joins studies, statistics and reports.

Thin: every piece of work is done in one of the three rooms.
"""

from crossnorm.api.answers import default_folder, look_at, read_result
from crossnorm.api.audits import audit
from crossnorm.api.benching import bench
from crossnorm.api.pictures import picture
from crossnorm.api.result import Result
from crossnorm.api.single import evaluate_checkpoint, train_model
from crossnorm.api.studies import Study
from crossnorm.api.tables import compare, report_table
from crossnorm.api.watching import watch

__all__ = [
    "Result",
    "Study",
    "audit",
    "bench",
    "compare",
    "default_folder",
    "evaluate_checkpoint",
    "look_at",
    "picture",
    "read_result",
    "report_table",
    "train_model",
    "watch",
]
