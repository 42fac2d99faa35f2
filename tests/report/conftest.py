from __future__ import annotations

import pytest
from report_studies import STATES, judged

from crossnorm.stats import Table, Verdict


@pytest.fixture(params=list(STATES))
def state(request: pytest.FixtureRequest) -> tuple[Table, Verdict]:
    make, options = STATES[request.param]
    table = make()
    return table, judged(table, **options)
