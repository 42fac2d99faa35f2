"""Statistics of paired runs: differences, bands, trends, verdicts, power. Needs numpy and scipy only.

Every function is pure; most read a `Table` of runs.
"""

from __future__ import annotations

from crossnorm.stats.design.aa_false_positives import (
    FalseRate,
    Scatter,
    paired_scatter,
    rate_of_paired,
    rate_of_unpaired,
)
from crossnorm.stats.design.power import (
    achieved_power,
    detectable_difference,
    pairs_for_difference,
    pairs_for_difference_range,
    pairs_needed,
    sd_interval,
)
from crossnorm.stats.design.prospective_power import Outlook, Prospect, outlook
from crossnorm.stats.inference.bands import ArmBand, Bands, bands
from crossnorm.stats.inference.divergence import mcnemar_e_value, mcnemar_exact
from crossnorm.stats.inference.family import family_size
from crossnorm.stats.inference.sequential import first_bounded
from crossnorm.stats.inference.stopping_rule import settled
from crossnorm.stats.runs.curve_summaries import (
    Noise,
    PairingDiagnostics,
    area_under_curve,
    noise,
    pairing_diagnostics,
    steps_to_target,
    with_summaries,
)
from crossnorm.stats.runs.dose_names import name_trends
from crossnorm.stats.runs.endpoints import with_endpoint
from crossnorm.stats.runs.from_records import absent, table_from_records
from crossnorm.stats.runs.run_table import MOST_ARMS, ArmInfo, Table, is_circular
from crossnorm.stats.verdicts.analyse import estimate
from crossnorm.stats.verdicts.caveats import caveats
from crossnorm.stats.verdicts.number_text import NONE, brief, dose_words, listed, number
from crossnorm.stats.verdicts.primary_endpoint import declared_contrast
from crossnorm.stats.verdicts.robustness import Robustness, robustness_checks
from crossnorm.stats.verdicts.verdict import Answer, ArmResult, Contrast, Pairing, Trend, Verdict
from crossnorm.stats.verdicts.verdict_text import metric_words

__all__ = [
    "MOST_ARMS",
    "NONE",
    "Answer",
    "ArmBand",
    "ArmInfo",
    "ArmResult",
    "Bands",
    "Contrast",
    "FalseRate",
    "Noise",
    "Outlook",
    "Pairing",
    "PairingDiagnostics",
    "Prospect",
    "Robustness",
    "Scatter",
    "Table",
    "Trend",
    "Verdict",
    "absent",
    "achieved_power",
    "area_under_curve",
    "bands",
    "brief",
    "caveats",
    "declared_contrast",
    "detectable_difference",
    "dose_words",
    "estimate",
    "family_size",
    "first_bounded",
    "is_circular",
    "listed",
    "mcnemar_e_value",
    "mcnemar_exact",
    "metric_words",
    "name_trends",
    "noise",
    "number",
    "outlook",
    "paired_scatter",
    "pairing_diagnostics",
    "pairs_for_difference",
    "pairs_for_difference_range",
    "pairs_needed",
    "rate_of_paired",
    "rate_of_unpaired",
    "robustness_checks",
    "sd_interval",
    "settled",
    "steps_to_target",
    "table_from_records",
    "with_endpoint",
    "with_summaries",
]
