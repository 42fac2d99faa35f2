"""The catalogue of variants, and the settings of one."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

import crossnorm
import crossnorm.functional
from crossnorm import Variant
from crossnorm.functional import VARIANTS
from tests import oracle

CONTROLS = {"convex": "attenuated", "batch": "attenuated"}


def test_it_lists_every_variant_once():
    assert sorted(VARIANTS) == sorted(oracle.NAMES)


@pytest.mark.parametrize("name", oracle.NAMES)
def test_controls_and_summaries(name):
    assert VARIANTS[name].control == CONTROLS.get(name)
    assert len(VARIANTS[name].summary) > 10


def test_batch_says_that_it_breaks_independence():
    assert "batch" in VARIANTS["batch"].summary.lower()
    assert "depend" in VARIANTS["batch"].summary.lower()


def test_names_at_the_top_are_the_rooms_own():
    for name in ("attention", "Variant", "per_query", "sequence_pool"):
        assert getattr(crossnorm, name) is getattr(crossnorm.functional, name)


def test_settings_are_frozen_keywords_with_defaults():
    variant = Variant(name="convex")
    assert dataclasses.asdict(variant) == {
        "name": "convex", "alpha": 1.0, "site": "attention", "layers": None, "gain": 1.0, "temperature": 1.0,
    }  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        variant.alpha = 0.5
    with pytest.raises(TypeError):
        Variant("convex")


def test_settings_compare_hash_travel_and_replace():
    variant = Variant(name="laser", alpha=0.25, site="both", layers=(0, 2), gain=3.0, temperature=0.5)
    assert pickle.loads(pickle.dumps(variant)) == variant
    assert hash(dataclasses.replace(variant, alpha=0.25)) == hash(variant)
    assert dataclasses.replace(variant, alpha=0.5) != variant


@pytest.mark.parametrize("site", ["attention", "pool", "both"])
def test_sites(site):
    assert Variant(name="convex", site=site).site == site
