"""Errors read: name, expected, got, what to do."""

from __future__ import annotations

import pickle
import subprocess
import sys

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


def test_long_lists_are_cut_to_the_nearest_and_say_where_the_rest_is():
    error = unknown_name("model", "m7x", [f"m{i}" for i in range(53)])
    assert error.expected.startswith("one of m7, ")
    assert error.expected.endswith(", … (53 in all: crossnorm list models)")


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr


def test_a_script_shows_its_own_line_and_the_message():
    shown = python("import crossnorm\ndef mine():\n    crossnorm.Study(tasc='digits')\nmine()")
    place, *_, message = shown.splitlines()
    assert place.strip() == 'File "<string>", line 3, in mine'
    assert message.startswith("crossnorm.BadInput: Study: tasc (unknown field): expected one of ")
    assert "Traceback" not in shown
    assert "crossnorm/api" not in shown


def test_other_errors_are_shown_as_ever():
    shown = python(
        "import sys\nsys.excepthook = lambda *about: print('before', file=sys.stderr)\nimport crossnorm\n1 / 0"
    )
    assert shown == "before\n"
    assert python("import crossnorm\n1 / 0").startswith("Traceback")


def test_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(BadInput("a", "b", "c", "d")))
    assert (error.name, error.expected, error.got, error.hint) == ("a", "b", "c", "d")


def test_values_of_any_size_and_hidden_characters_make_one_readable_line():
    assert str(BadInput("seed", "a number", 10**5000)) == "seed: expected a number, got a value too large to be shown."
    assert len(str(BadInput("x", "y", list(range(10_000))))) < 1100
    text = str(BadInput.because("a\x1b[31m", "is\n\tnot \ud800 here"))
    assert text == "a\\x1b[31m: is  not \\ud800 here."
