"""The table of tasks, as plain data: listing them must not import numpy or torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crossnorm.errors import unknown_name

__all__ = ["CropSpec", "Kind", "TaskSpec", "TextSpec", "default_model", "find_task", "list_tasks"]

Kind = Literal["image", "sequence", "text", "language"]


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """Further fields of a task of labeled texts.

    Args:
        format: Of local files, a key of ``crossnorm.data.text.readers.FORMATS``.
        classes: Class names by index.
        seq_len: Maximum number of words of a text; the rest is dropped.
        repository: On the Hugging Face Hub.
        subset: Of the repository.
        text_columns: On the Hub; several are joined.
        label_column: On the Hub.
        test_split: On the Hub.
        min_count: Rarer words of the training set are unknown words.
        max_words: Maximum size of the vocabulary.
    """

    format: str
    classes: tuple[str, ...]
    seq_len: int
    repository: str
    subset: str | None = None
    text_columns: tuple[str, ...] = ("text",)
    label_column: str = "label"
    test_split: str = "test"
    min_count: int = 2
    max_words: int = 30_000


@dataclass(frozen=True, kw_only=True)
class CropSpec:
    """How photographs are cropped to squares.

    Args:
        size: Side of the square in pixels.
        scale: Smallest and largest area of a random crop, relative to the image.
        keep: Side of the center crop for testing, relative to the shorter side of the image.
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    keep: float = 0.9


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One task.

    Args:
        description: One line, shown by ``crossnorm list tasks``.
        source: Of the arrays: a package (``mnist1d``, ``digits``), ``torchvision``, ``folder`` (class folders of the
            user), ``texts`` (files of the user, else the Hugging Face Hub), ``characters`` or ``bytes`` (of a file of
            the user).
        kind: Of one example.
        dataset: The class in ``torchvision.datasets``.
        shape: (channels, height, width); ``None``: as in the files.
        n_classes: ``None``: as in the files.
        mean: Per channel, of pixels scaled to [0, 1]; ``None``: measured on the training set.
        std: Like ``mean``.
        augmentation: The default policy.
        model: Keywords of ``create_model`` besides the name, the sizes and the number of classes.
        text: Further fields of labeled texts.
        seq_len: Tokens per window, for language.
        crop: How photographs are cropped when a batch is read; ``None``: images of one size, held in memory.
        tokens: Tokens per example in the default model; ``None``: depends on the files.
    """

    description: str
    source: Literal["mnist1d", "digits", "torchvision", "folder", "texts", "characters", "bytes"]
    kind: Kind = "image"
    dataset: str = ""
    shape: tuple[int, int, int] | None = None
    n_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentation: Literal["none", "crop-flip"] = "none"
    model: Mapping[str, object] = field(default_factory=dict)
    text: TextSpec | None = None
    seq_len: int = 128
    crop: CropSpec | None = None
    tokens: int | None = None

    @property
    def model_name(self) -> str:
        """The name of the default model."""
        usual = {"text": "text_cct_2", "language": "gpt_2"}.get(self.kind, "cct_2_3x2_32")
        return str(self.model.get("name", usual))


_WORDS = {"word_embedding_dim": 128}
_TOPICS = (
    "Company",
    "EducationalInstitution",
    "Artist",
    "Athlete",
    "OfficeHolder",
    "MeanOfTransportation",
    "Building",
    "NaturalPlace",
    "Village",
    "Animal",
    "Plant",
    "Album",
    "Film",
    "WrittenWork",
)
_SMALL = {"n_conv_layers": 1, "embedding_dim": 64}


def _photographs(description: str, source: Literal["torchvision", "folder"], model: str, spec: CropSpec) -> TaskSpec:
    flowers = source == "torchvision"
    return TaskSpec(
        description=description,
        source=source,
        dataset="Flowers102" if flowers else "",
        shape=(3, spec.size, spec.size),
        n_classes=102 if flowers else None,
        mean=(0.4353, 0.3773, 0.2872) if flowers else (0.485, 0.456, 0.406),
        std=(0.2966, 0.2455, 0.2698) if flowers else (0.229, 0.224, 0.225),
        augmentation="crop-flip",
        model={"name": model},
        crop=spec,
        tokens=(spec.size // 16) ** 2,
    )


_FLOWERS = "102 species of flowers, 2040 (train and val) + 6149, random crops of"
_IMAGENET = "ImageNet's layout, train/CLASS/* and val/CLASS/* (data: DIR), random crops of"

_TASKS: dict[str, TaskSpec] = {
    "mnist1d": TaskSpec(
        description="10 classes of sequences of 40 points, 4000 + 1000, generated in seconds (no download)",
        source="mnist1d",
        kind="sequence",
        shape=(1, 1, 40),
        n_classes=10,
        model=_SMALL,
        tokens=20,
    ),
    "digits": TaskSpec(
        description="10 handwritten digits, 8 × 8 gray, 1442 + 355, part of scikit-learn (no download)",
        source="digits",
        shape=(1, 8, 8),
        n_classes=10,
        model=_SMALL,
        tokens=16,
    ),
    "cifar10": TaskSpec(
        description="10 classes of photographs, 32 × 32 color, 50000 + 10000",
        source="torchvision",
        dataset="CIFAR10",
        augmentation="crop-flip",
        shape=(3, 32, 32),
        n_classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        tokens=64,
    ),
    "cifar100": TaskSpec(
        description="100 classes of photographs, 32 × 32 color, 50000 + 10000",
        source="torchvision",
        dataset="CIFAR100",
        augmentation="crop-flip",
        shape=(3, 32, 32),
        n_classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        tokens=64,
    ),
    "mnist": TaskSpec(
        description="10 handwritten digits, 28 × 28 gray, 60000 + 10000",
        source="torchvision",
        dataset="MNIST",
        shape=(1, 28, 28),
        n_classes=10,
        mean=(0.1307,),
        std=(0.3081,),
        tokens=49,
    ),
    "fashion-mnist": TaskSpec(
        description="10 types of clothing, 28 × 28 gray, 60000 + 10000",
        source="torchvision",
        dataset="FashionMNIST",
        augmentation="crop-flip",
        shape=(1, 28, 28),
        n_classes=10,
        mean=(0.2860,),
        std=(0.3530,),
        tokens=49,
    ),
    "trec": TaskSpec(
        description="6 types of questions, 5452 + 500 (data: FOLDER, or Hugging Face datasets)",
        source="texts",
        kind="text",
        model={"word_embedding_dim": 300, "kernel_size": 3, "dropout": 0.5},
        text=TextSpec(
            format="trec",
            classes=("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"),
            seq_len=40,
            repository="CogComp/trec",
            label_column="coarse_label",
        ),
        tokens=21,
    ),
    "ag-news": TaskSpec(
        description="4 topics of news, 120000 + 7600 (data: FOLDER, or Hugging Face datasets)",
        source="texts",
        kind="text",
        model=_WORDS,
        text=TextSpec(
            format="table",
            classes=("World", "Sports", "Business", "Sci/Tech"),
            seq_len=128,
            repository="fancyzhx/ag_news",
        ),
        tokens=65,
    ),
    "imdb": TaskSpec(
        description="2 sentiments of film reviews, 25000 + 25000 (data: FOLDER, or Hugging Face datasets)",
        source="texts",
        kind="text",
        model=_WORDS,
        text=TextSpec(format="reviews", classes=("neg", "pos"), seq_len=400, repository="stanfordnlp/imdb"),
        tokens=201,
    ),
    "sst2": TaskSpec(
        description="2 sentiments of sentences, 67349 + 872 (dev set) (data: FOLDER, or Hugging Face datasets)",
        source="texts",
        kind="text",
        model=_WORDS,
        text=TextSpec(
            format="sentences",
            classes=("negative", "positive"),
            seq_len=64,
            repository="stanfordnlp/sst2",
            text_columns=("sentence",),
            test_split="validation",
        ),
        tokens=33,
    ),
    "dbpedia": TaskSpec(
        description="14 topics of an encyclopedia, 560000 + 70000 (data: FOLDER, or Hugging Face datasets)",
        source="texts",
        kind="text",
        model=_WORDS,
        text=TextSpec(
            format="table",
            classes=_TOPICS,
            seq_len=128,
            repository="fancyzhx/dbpedia_14",
            text_columns=("title", "content"),
            max_words=50_000,
        ),
        tokens=65,
    ),
    "shakespeare": TaskSpec(
        description="next characters of a text file, 128 at a time, the last tenth for testing (data: FILE)",
        source="characters",
        kind="language",
        tokens=128,
    ),
    "text8": TaskSpec(
        description="next characters of a text file, 256 at a time, the last tenth for testing (data: FILE)",
        source="characters",
        kind="language",
        seq_len=256,
        tokens=256,
    ),
    "bytes": TaskSpec(
        description="next bytes of any file, 128 at a time, the last tenth for testing (data: FILE)",
        source="bytes",
        kind="language",
        tokens=128,
    ),
    "flowers102": _photographs(
        f"{_FLOWERS} 224 pixels", "torchvision", "cct_7_7x2_224", CropSpec(size=224, scale=(0.8, 1.0), keep=1.0)
    ),
    "flowers102-384": _photographs(
        f"{_FLOWERS} 384 pixels", "torchvision", "cct_14_7x2_384", CropSpec(size=384, scale=(0.8, 1.0), keep=1.0)
    ),
    "imagenet": _photographs(f"{_IMAGENET} 224 pixels", "folder", "cct_14_7x2_224", CropSpec(size=224)),
    "imagenet-384": _photographs(f"{_IMAGENET} 384 pixels", "folder", "cct_14_7x2_384", CropSpec(size=384)),
    "folder": TaskSpec(
        description="your own images: a folder or zip with train/CLASS/* and test/CLASS/* (data: PATH)",
        source="folder",
        augmentation="crop-flip",
    ),
}


def list_tasks() -> dict[str, TaskSpec]:
    """The rows of all tasks by name."""
    return dict(_TASKS)


def find_task(name: str) -> TaskSpec:
    """The row of a task.

    Raises:
        BadInput: Unknown name.
    """
    if name not in _TASKS:
        raise unknown_name("task", name, _TASKS)
    return _TASKS[name]


def default_model(spec: TaskSpec, shape: tuple[int, int, int], n_classes: int) -> dict[str, object]:
    """The default keywords of ``create_model``, the name included.

    For the user's own images the tokenizer halves the image until about 8 × 8 tokens are left:
    ``n_conv_layers = max(1, round(log2(longer side / 8)))``.

    Args:
        spec: The task's row.
        shape: (channels, height, width) of one example.
        n_classes: Number of classes.
    """
    channels, height, width = shape
    extra = dict(spec.model)
    if spec.shape is None:
        extra["n_conv_layers"] = max(1, round(math.log2(max(height, width) / 8)))
    sizes = {"img_size": (height, width), "n_input_channels": channels, "num_classes": n_classes}
    return {"name": spec.model_name, **sizes, **extra}
