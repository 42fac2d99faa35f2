"""Labelled texts through Hugging Face datasets, the optional package.

Knows the columns of a data set by what the catalogue says; knows nothing of words and caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossnorm.data.task_registry import TextSpec
from crossnorm.data.text.readers import FORMATS, Texts
from crossnorm.errors import BadInput

__all__ = ["hub_texts"]


def hub_texts(name: str, spec: TextSpec) -> Texts:
    """Download the data set, or take it from the package's own cache.

    Args:
        name: The task's name, for the error.
        spec: Repository, columns and splits.

    Raises:
        BadInput: The package is not installed, there is no connection, or the data set is not what the task expects.
    """
    hint = f"Give your copy by --data PATH, a folder with {FORMATS[spec.format].layout}."
    try:
        import datasets
    except ImportError:
        raise BadInput(
            f"task {name}", "the package datasets (pip install 'crossnorm[hf]') or local files", "neither", hint
        ) from None
    try:
        # The Parquet copy that the hub keeps of every data set: no code of the data set is run.
        loaded = datasets.load_dataset(spec.repository, spec.subset, revision="refs/convert/parquet")
        found = {split: loaded[of_hub] for split, of_hub in (("train", "train"), ("test", spec.test_split))}
        return {split: _examples(rows, spec) for split, rows in found.items()}
    except Exception as error:  # the package lets errors of several libraries through
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        expected = f"{spec.repository} from the Hugging Face hub"
        raise BadInput(f"task {name}", expected, f"an error ({reason})", hint) from None


def _examples(rows: Any, spec: TextSpec) -> list[tuple[int, str]]:
    places = _places(rows.features[spec.label_column].names, spec.classes)
    parts = zip(*(rows[column] for column in spec.text_columns), strict=True)
    texts = [" ".join(part).replace("<br />", " ").replace("\\", " ") for part in parts]
    return [(places[label], text) for label, text in zip(rows[spec.label_column], texts, strict=True)]


def _places(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The hub's class numbers in the catalogue's order."""
    if sorted(names) != sorted(classes):
        raise ValueError(f"classes {', '.join(names)} in place of {', '.join(classes)}")
    return [classes.index(label) for label in names]
