"""Labeled texts from the Hugging Face Hub, by the optional package datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossnorm.data.task_registry import TextSpec
from crossnorm.data.text.readers import FORMATS, Texts
from crossnorm.errors import BadInput

__all__ = ["hub_texts"]


def hub_texts(name: str, spec: TextSpec) -> Texts:
    """Download a data set, or read it from the cache of the package datasets.

    Args:
        name: Of the task, for errors.
        spec: Supplies repository, columns and splits.

    Raises:
        BadInput: The package is not installed, the download failed, or the data set has other columns or classes.
    """
    hint = f"Or set data to a local copy: a folder with {FORMATS[spec.format].layout}."
    try:
        import datasets
    except ImportError:
        reason = "needs the package datasets (pip install 'crossnorm[hf]')"
        raise BadInput.because(f"task {name}", reason, hint) from None
    try:
        # The Hub's Parquet copy of the data set: no code of the data set is executed.
        loaded = datasets.load_dataset(spec.repository, spec.subset, revision="refs/convert/parquet")
        found = {split: loaded[of_hub] for split, of_hub in (("train", "train"), ("test", spec.test_split))}
        return {split: _examples(rows, spec) for split, rows in found.items()}
    except Exception as error:  # of several libraries
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        problem = f"loading {spec.repository} from the Hugging Face Hub failed ({reason})"
        raise BadInput.because(f"task {name}", problem, hint) from None


def _examples(rows: Any, spec: TextSpec) -> list[tuple[int, str]]:
    indices = _class_indices(rows.features[spec.label_column].names, spec.classes)
    parts = zip(*(rows[column] for column in spec.text_columns), strict=True)
    texts = [" ".join(part).replace("<br />", " ").replace("\\", " ") for part in parts]
    return [(indices[label], text) for label, text in zip(rows[spec.label_column], texts, strict=True)]


def _class_indices(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The index in ``classes`` of each class of the Hub."""
    if sorted(names) != sorted(classes):
        raise ValueError(f"expected classes {', '.join(classes)}, got {', '.join(names)}")
    return [classes.index(label) for label in names]
