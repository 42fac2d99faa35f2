"""The draws against the published tables (as torchvision holds them) and in distribution."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from scipy import stats
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

from crossnorm.data.augment import policies
from crossnorm.data.augment.image_ops import OPERATIONS
from crossnorm.data.augment.policies import POLICIES, Draw

NAMES = [*OPERATIONS, "none"]  # index -1 is none
N = 20_011


def drawn(policy: str, seed: int = 0) -> Draw:
    return POLICIES[policy].draw(N, torch.Generator().manual_seed(seed))


def chi_square(observed: Counter, expected: dict) -> float:
    """p-value; categories expected in no draw must be absent."""
    assert set(observed) <= {key for key, share in expected.items() if share > 0}
    keys = [key for key, share in expected.items() if share > 0]
    return stats.chisquare([observed[key] for key in keys], [expected[key] * N for key in keys]).pvalue


def reference_rows() -> list:
    return AutoAugment(AutoAugmentPolicy.CIFAR10)._policies


def test_the_table_is_torchvisions():
    assert len(policies._CIFAR10) == 25
    for row, (first, second) in zip(policies._CIFAR10, reference_rows(), strict=True):
        for mine, theirs in ((row[:3], first), (row[3:], second)):
            assert mine[:2] == theirs[:2]
            assert theirs[2] in (None, mine[2])


def reference_parameter(name: str, level: int, negative: bool) -> float:
    """Of an image 331 pixels high and wide."""
    magnitudes, signed = AutoAugment._AUGMENTATION_SPACE[name]
    value = float(magnitudes(10, 331, 331)[level]) * (-1 if signed and negative else 1)
    if name in ("Brightness", "Color", "Contrast", "Sharpness"):
        return 1 + value
    if name == "Solarize":
        return 255 * value
    return value / 331 if name.startswith("Translate") else value


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("name", [n for n in OPERATIONS if n != "SolarizeAdd"])
def test_ranges_are_torchvisions(name, level):
    if name in ("AutoContrast", "Equalize", "Invert"):
        assert not AutoAugment._AUGMENTATION_SPACE[name][1]
        return
    for negative in (False, True):
        got = POLICIES["autoaugment"].ranges[name](torch.tensor([level / 9]), torch.tensor([negative]))
        assert got.item() == pytest.approx(reference_parameter(name, level, negative), rel=1e-5, abs=1e-5)


def increasing(name: str, level: float, negative: bool) -> float:
    """The parameter at a level of 0 to 10, written out from the public description."""
    sign = -1 if negative else 1
    by_name = {
        "Rotate": sign * level / 10 * 30,
        "Posterize": 4 - int(level / 10 * 4),
        "Solarize": 256 - level / 10 * 256,
        "SolarizeAdd": level / 10 * 110,
    }
    if name in by_name:
        return by_name[name]
    if name.startswith("Shear"):
        return sign * level / 10 * 0.3
    if name.startswith("Translate"):
        return sign * level / 10 * 0.45
    return max(0.1, 1 + sign * level / 10 * 0.9)


@pytest.mark.parametrize("name", [n for n in OPERATIONS if n not in ("AutoContrast", "Equalize", "Invert")])
def test_ranges_of_randaugment(name):
    for level, negative in itertools.product([0.0, 3.1, 7.4, 8.5, 9.0, 9.7, 10.0], [False, True]):
        got = POLICIES["randaugment"].ranges[name](torch.tensor([level / 10]), torch.tensor([negative]))
        assert got.item() == pytest.approx(increasing(name, level, negative), rel=1e-5, abs=1e-5)


def test_autoaugment_draws_each_pair_as_often_as_published():
    expected: Counter = Counter()
    for slots in reference_rows():
        for applied in itertools.product([True, False], repeat=2):
            share = math.prod(p if on else 1 - p for (_, p, _), on in zip(slots, applied, strict=True))
            expected[tuple(n if on else "none" for (n, _, _), on in zip(slots, applied, strict=True))] += share / 25
    draw = drawn("autoaugment")
    observed = Counter((NAMES[a], NAMES[b]) for a, b in draw.operation.T.tolist())
    assert chi_square(observed, expected) > 0.01


def test_autoaugment_draws_each_level_as_often_as_published():
    expected: Counter = Counter()
    for first, _ in reference_rows():
        if first[2] is not None:
            expected[first[0], first[2]] += first[1] / 25
    draw = drawn("autoaugment", seed=1)
    pairs = zip(draw.operation[0].tolist(), (9 * draw.level[0]).round().int().tolist(), strict=True)
    observed = Counter((NAMES[a], level) for a, level in pairs)
    observed = Counter({key: observed[key] for key in expected})
    rest = {"rest": 1 - sum(expected.values())}
    observed["rest"] = N - sum(observed.values())
    assert chi_square(observed, {**expected, **rest}) > 0.01


def test_randaugment_draws_both_slots_alike():
    draw = drawn("randaugment")
    alone = {"none": 0.5, **dict.fromkeys(OPERATIONS, 0.5 / 15)}
    expected = {(a, b): alone[a] * alone[b] for a, b in itertools.product(alone, alone)}
    observed = Counter((NAMES[a], NAMES[b]) for a, b in draw.operation.T.tolist())
    assert chi_square(observed, expected) > 0.01


def test_randaugment_levels_are_a_clipped_gaussian():
    level = drawn("randaugment").level[1] * 10
    assert level.max() == 10
    inside = level[level < 10].double().numpy()
    clipped = stats.truncnorm(-math.inf, 2, loc=9, scale=0.5)
    assert stats.kstest(inside, clipped.cdf).pvalue > 0.01
    assert stats.binomtest(N - len(inside), N, stats.norm.sf(2)).pvalue > 0.01


@pytest.mark.parametrize("policy", POLICIES)
def test_signs_are_even_and_independent_of_operation_and_slot(policy):
    draw = drawn(policy)
    observed = Counter(map(tuple, draw.negative.T.tolist()))
    expected = dict.fromkeys(itertools.product([True, False], repeat=2), 0.25)
    assert chi_square(observed, expected) > 0.01
    for index in draw.operation[0].unique().tolist():
        signs = draw.negative[0, draw.operation[0] == index]
        assert stats.binomtest(int(signs.sum()), len(signs)).pvalue > 0.001
