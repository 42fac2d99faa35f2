"""Read labeled texts in the file formats of the known data sets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.io import regular_file

__all__ = [
    "FORMATS",
    "MOST_BYTES",
    "SPLITS",
    "Example",
    "Texts",
    "files_identity",
    "find_files",
    "read_text",
    "read_texts",
]

MOST_BYTES = 2_000_000_000
"""The largest text file; it is read into memory."""

_LONGEST = 1_000_000  # characters of one text

SPLITS = ("train", "test")

Example = tuple[int, str]
"""The index of the class, and the text."""

Texts = dict[str, list[Example]]
"""The examples of each split, in the order of the source."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """The file format of a data set.

    Args:
        layout: The files, for messages.
        names: Patterns of the files of each split; the first that matches is used.
        read: (file, class names) → examples.
    """

    layout: str
    names: dict[str, tuple[str, ...]]
    read: Callable[[Path, Sequence[str]], Iterator[Example]]


def find_files(path: Path, kind: str) -> dict[str, list[Path]]:
    """The files of each split, sorted.

    Args:
        path: The folder, or its parent.
        kind: A key of `FORMATS`.

    Raises:
        BadInput: A file is missing.
    """
    layout = FORMATS[kind]
    try:
        inside = [p for p in path.iterdir() if p.is_dir()] if path.is_dir() else []
        for root in (path, *inside):
            found = {split: _first_match(root, layout.names[split]) for split in SPLITS}
            if all(found.values()):
                return found
    except OSError as error:
        raise BadInput(f"data {path}", f"a folder with {layout.layout}", str(error)) from None
    got = "a folder without them" if path.is_dir() else "a file" if path.exists() else "no such folder"
    raise BadInput(f"data {path}", f"a folder with {layout.layout}", got)


def _first_match(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    return next((found for pattern in patterns if (found := sorted(root.glob(pattern)))), [])


def files_identity(files: Sequence[Path]) -> str:
    """A digest of the paths, sizes and modification times of files."""
    digest = sha256()
    for file in files:
        about = file.stat()
        digest.update(f"{file.resolve()}\0{about.st_size} {about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_texts(files: dict[str, list[Path]], kind: str, classes: Sequence[str]) -> Texts:
    """Every example of the files that `find_files` found.

    Raises:
        BadInput: A line in another format, an unknown class, or a split without examples.
    """
    texts = {split: [e for file in files[split] for e in FORMATS[kind].read(file, classes)] for split in SPLITS}
    for split, examples in texts.items():
        if not examples:
            raise BadInput(f"data {files[split][0]}", "at least one example", "none")
        if (longest := max(len(text) for _, text in examples)) > _LONGEST:
            raise BadInput(f"data {files[split][0]}", f"texts of at most {_LONGEST} characters", longest)
    return texts


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The content of a text file, with line feeds as line ends.

    Raises:
        BadInput: The file cannot be read or decoded.
    """
    regular_file(path, most=MOST_BYTES, name=f"data {path}")
    try:
        return path.read_text(encoding=encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"data {path}", f"a text file in {encoding.upper()}", f"an invalid byte at position {error.start}"
        ) from None


def _trec(path: Path, classes: Sequence[str]) -> Iterator[Example]:
    """``LABEL:fine question`` on each line, in Latin-1."""
    for number, line in enumerate(read_text(path, "latin-1").split("\n"), start=1):
        if line.strip():
            label, _, question = line.partition(" ")
            yield _class(path, number, label.partition(":")[0], classes), question.strip()


def _table(path: Path, classes: Sequence[str]) -> Iterator[Example]:
    """``class,title,description`` with classes from 1, quoted as CSV; a header line is skipped."""
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    numbers = [str(index) for index in range(1, len(classes) + 1)]
    try:
        for row in rows:
            if not row or (rows.line_num == 1 and not row[0].strip().isdigit()):
                continue
            if len(row) < 2:
                raise BadInput(f"data {path}, line {rows.line_num}", "class,title,description", ",".join(row)[:60])
            # In the published files a backslash stands for a line break.
            yield _class(path, rows.line_num, row[0].strip(), numbers), " ".join(row[1:]).replace("\\", " ")
    except csv.Error as error:
        raise BadInput(f"data {path}, line {rows.line_num}", "a table in CSV", str(error)) from None


def _review(path: Path, classes: Sequence[str]) -> Iterator[Example]:
    """One review per file; the folder is its class."""
    yield classes.index(path.parent.name), read_text(path).replace("<br />", " ")


def _sentences(path: Path, classes: Sequence[str]) -> Iterator[Example]:
    """``sentence<tab>label`` below a header line, labels from 0, not quoted."""
    numbers = [str(index) for index in range(len(classes))]
    for number, line in enumerate(read_text(path).split("\n")[1:], start=2):
        if line.strip():
            sentence, tab, label = line.rpartition("\t")
            if not tab:
                raise BadInput(f"data {path}, line {number}", "sentence<tab>label", line[:60])
            yield _class(path, number, label.strip(), numbers), sentence.strip()


def _class(path: Path, line: int, label: str, known: Sequence[str]) -> int:
    if label not in known:
        raise BadInput(f"data {path}, line {line}", f"one of the classes {', '.join(known)}", repr(label[:60]))
    return known.index(label)


FORMATS: dict[str, Format] = {
    "trec": Format(
        layout="TREC.train and TREC.test (or train_5500.label and TREC_10.label)",
        names={"train": ("TREC.train", "train_5500.label"), "test": ("TREC.test", "TREC_10.label")},
        read=_trec,
    ),
    "table": Format(
        layout="train.csv and test.csv (class,title,description)",
        names={"train": ("train.csv",), "test": ("test.csv",)},
        read=_table,
    ),
    "reviews": Format(
        layout="train/pos, train/neg, test/pos and test/neg, one review per .txt file",
        names={"train": ("train/[np][eo][gs]/*.txt",), "test": ("test/[np][eo][gs]/*.txt",)},
        read=_review,
    ),
    "sentences": Format(
        layout="train.tsv and dev.tsv (sentence<tab>label)",
        names={"train": ("train.tsv",), "test": ("dev.tsv",)},
        read=_sentences,
    ),
}
