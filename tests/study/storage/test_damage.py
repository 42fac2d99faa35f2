"""Whatever is written into a study file, typed as a flag or damaged in a folder: one clear error, or a recovery."""

from __future__ import annotations

import shutil

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossnorm.api import read_result
from crossnorm.cli.study_options import StudyOptions
from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import StudySpec, parse_spec, read_fields
from tests.study.fault_cases import curves, verdict
from tests.study.small_study import whole_study

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates()
values = st.recursive(plain, lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=6), x, max_size=4))
fields = st.dictionaries(st.sampled_from(sorted(StudySpec.model_fields)) | st.text(max_size=6), values, max_size=5)


def refusal(action) -> str:
    """What bad input is told, of a length that can be read; empty: nothing is wrong."""
    try:
        action()
    except BadInput as error:
        told = str(error)
    else:
        told = ""
    assert len(told) < 2000
    return told


@QUICK
@given(fields, st.sampled_from([{"task": "digits"}, {"function": "m:f", "metric": "a", "direction": "lower"}, {}]))
def test_any_fields(found, base):
    refusal(lambda: make_plan(parse_spec(base | found, "x.yaml")))


@QUICK
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_as_a_file(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    refusal(lambda: make_plan(parse_spec(read_fields(path), str(path))))


@pytest.mark.parametrize(
    "text",
    [
        "task: &a [*a]\n",
        "task: digits\nmodel: &m {x: *m}\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{n}: &{n} [{','.join([f'*{m}'] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)),
        "[" * 5000,
        "task: !!python/object/apply:os.system ['true']\n",
        "task: digits\nseeds: 999999999999\n",
        "task: digits\nseeds: 2\nstop: decided\nmax_seeds: 99999999999\n",
        "task: digits\nalphas: [1" + "0" * 400 + "]\n",
    ],
)
def test_files_that_never_end(tmp_path, text):
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        make_plan(parse_spec(read_fields(tmp_path / "bomb.yaml"), "bomb.yaml"))
    assert len(str(caught.value)) < 2000


word = st.text(max_size=12) | st.sampled_from(["0,1", "nan", "1e999", "1 %", "convex", "mine:f", "-", "0"])


@QUICK
@given(
    study=st.sampled_from(["quick", "a:b", "no.yaml"]) | word,
    flags=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("alphas", "variants", "metric", "direction", "margin"), word)
        | {name: st.integers() for name in ("seeds", "epochs", "train_examples")},
    ),
)
def test_any_flags(study, flags):
    refusal(lambda: make_plan(StudyOptions(**flags).study(study)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    whole_study(folder / "out")
    return folder


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfinished")
    with pytest.raises(KeyboardInterrupt):
        whole_study(folder / "out", interrupted=True)
    return folder


def damages(content: bytes, every: int):
    """Truncated, and with a flipped bit, at places all over the file."""
    for place in range(0, len(content), max(1, len(content) // every)):
        yield content[:place]
        yield content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]


def stored_files(folder):
    """study.yaml and whatever the first run has."""
    return sorted(p for p in (folder / "out").rglob("*") if p.parent.name == "0" or p.name == "study.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_any_damage_is_recovered_from(request, tmp_path, finished, state):
    source = request.getfixturevalue(state)
    expected = (verdict(finished), curves(finished))
    for file in stored_files(source):
        for number, damaged in enumerate(damages(file.read_bytes(), 4)):
            folder = tmp_path / f"{file.name}-{number}" / "out"
            shutil.copytree(source / "out", folder)
            (folder / file.relative_to(source / "out")).write_bytes(damaged)
            refusal(lambda folder=folder: read_result(folder))
            told = refusal(lambda folder=folder: whole_study(folder))
            if file.name == "study.yaml":
                assert told == "" or "study.yaml" in told
            else:
                assert told == ""
                assert (verdict(folder.parent), curves(folder.parent)) == expected, (file, number)
            shutil.rmtree(folder.parent)


def test_a_damaged_finished_run_is_no_part_of_the_answer(tmp_path, finished):
    shutil.copytree(finished / "out", tmp_path / "out")
    path = tmp_path / "out" / "runs" / "convex-1" / "1" / "metrics.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    assert read_result(tmp_path / "out").table.status.tolist() == [["complete"] * 2, ["complete", "missing"]]
    whole_study(tmp_path / "out")
    assert path.read_bytes().count(b"\n") == content.count(b"\n")
    assert verdict(tmp_path) == verdict(finished)


def test_an_edited_study_yaml_is_not_taken_for_the_study(tmp_path, finished):
    shutil.copytree(finished / "out", tmp_path / "out")
    path = tmp_path / "out" / "study.yaml"
    found = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(found | {"confidence": 0.9}))
    with pytest.raises(BadInput, match="the file is damaged"):
        read_result(tmp_path / "out")
    path.write_text(yaml.safe_dump(found))
    assert read_result(tmp_path / "out").verdict.confidence == 0.95
