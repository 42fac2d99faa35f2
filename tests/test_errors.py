"""Errors read: name, expected, got, what to do."""

from __future__ import annotations

import pickle

from crossnorm.errors import BadInput, unknown_name


def test_message_has_name_expected_got_and_hint():
    assert str(BadInput("seeds", "at least 1", -2, "Give more.")) == "seeds: expected at least 1, got -2. Give more."


def test_a_reason_stands_alone():
    error = BadInput.because("quick", "folder is locked by process 7 on host", "Give another --out.")
    assert str(error) == "quick: folder is locked by process 7 on host. Give another --out."
    assert str(error.within("plot")) == f"plot: {error}"


def test_within_puts_the_place_in_front():
    assert str(BadInput("seeds", "a count", "x").within("my.yaml")) == "my.yaml: seeds: expected a count, got x."


def test_unknown_name_offers_the_nearest():
    assert str(unknown_name("variant", "convx", ["convex", "signed"])) == (
        "variant: expected one of convex, signed, got 'convx'. Did you mean 'convex'?"
    )


def test_unknown_name_is_silent_where_nothing_is_near():
    assert unknown_name("variant", "zzz", ["convex"]).hint == ""


def test_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(BadInput("a", "b", "c", "d")))
    assert (error.name, error.expected, error.got, error.hint) == ("a", "b", "c", "d")
