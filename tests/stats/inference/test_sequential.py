import math

import numpy as np
import pytest

from crossnorm.stats import first_bounded
from crossnorm.stats.inference.intervals import bounds
from crossnorm.stats.inference.sequential import log_e_process
from tests.stats.stats_tables import loop_confidence_sequence, loop_log_e


def confidence_sequence(d, level, c2=1.0):
    """Bounds after each pair from the second on, (…, n) → two of (…, n - 1)."""
    found = [bounds(d[..., :n], level, "sequential", prior=c2) for n in range(2, d.shape[-1] + 1)]
    return tuple(np.stack(side, axis=-1) for side in zip(*found, strict=True))


@pytest.mark.parametrize("c2", [0.3, 1.0, 7.0])
def test_evidence_agrees_with_loops(c2):
    d = np.random.default_rng(3).normal(0.3, 1, (5, 13))
    expected = [loop_log_e(row, c2) for row in d]
    np.testing.assert_allclose(log_e_process(d, prior=c2), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("c2", [0.3, 1.0, 7.0])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_confidence_sequence_agrees_with_loops(c2, offset):
    d = np.random.default_rng(4).normal(0.3, 1, 29) + offset
    low, high = confidence_sequence(d, 0.05 / 3, c2)
    expected = loop_confidence_sequence(d, 0.05 / 3, c2)[1:]
    np.testing.assert_allclose(np.stack([low, high], axis=1), expected, rtol=1e-9)


def test_interval_excludes_zero_exactly_when_the_evidence_is_enough():
    rng, level = np.random.default_rng(5), 0.05 / 4
    d = rng.normal(rng.normal(0, 1, (300, 1)), 1, (300, 17))
    low, high = confidence_sequence(d, level)
    decided = (low > 0) | (high < 0)
    np.testing.assert_array_equal(decided, log_e_process(d)[:, 1:] >= math.log(1 / level))
    assert 0.1 < decided.mean() < 0.9


def test_zero_differences_are_no_evidence():
    np.testing.assert_array_equal(log_e_process(np.zeros(5)), 0)
    np.testing.assert_allclose(log_e_process(np.array([0.0, 0.0, 1.0]))[:2], 0)


def test_evidence_depends_on_neither_scale_nor_sign():
    d = np.random.default_rng(6).normal(0.5, 1, 11)
    expected = log_e_process(d)
    for factor in (1e-200, -3.0, 1e200):
        np.testing.assert_allclose(log_e_process(factor * d), expected, rtol=1e-9, atol=1e-12)


def test_evidence_grows_without_overflow():
    assert np.isfinite(log_e_process(np.full(2000, 3.0))).all()


@pytest.mark.parametrize("level", [0.05, 0.05 / 7, 0.001])
def test_the_first_bounded_pair_is_where_the_interval_becomes_finite(level):
    n = first_bounded(level)
    differences = np.random.default_rng(0).normal(size=n)
    low, high = confidence_sequence(differences, level)
    assert np.isinf([low[:-1], high[:-1]]).all()
    assert np.isfinite([low[-1], high[-1]]).all()
