"""Tiny copies of the known data sets of texts, in their usual formats."""

from __future__ import annotations

from pathlib import Path

QUESTIONS = {
    "train": [
        ("LOC:city", "What city is in Ohio ?"),
        ("HUM:ind", "Who was Galil\xe9o ?"),
        ("NUM:date", "When did Ohio join ?"),
        ("LOC:state", "What state is Ohio in ?"),
        ("ABBR:exp", "What is an atom ?"),
    ],
    "test": [("DESC:def", "What is zirconium ?"), ("ENTY:plant", "Who was Ohio 's flower ?")],
}


def trec(folder: Path, names: tuple[str, str] = ("TREC.train", "TREC.test")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in zip(names, QUESTIONS.values(), strict=True):
        text = "".join(f"{label} {question}\n" for label, question in lines)
        (folder / name).write_bytes(text.encode("latin-1"))
    return folder


def table(folder: Path, heading: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    train = '"3","Stocks ""fall""","a band\\of cynics, again"\n"1","Peace","two\nlines"\n'
    (folder / "train.csv").write_text(heading + train, encoding="utf-8")
    (folder / "test.csv").write_text(heading + '4,Robots,they come\n2,"A, B",win\n1,x,y\n', encoding="utf-8")
    return folder


def reviews(folder: Path) -> Path:
    for split, counts in {"train": {"pos": 2, "neg": 1}, "test": {"pos": 1, "neg": 3}}.items():
        for label, count in counts.items():
            (folder / split / label).mkdir(parents=True)
            for index in range(count):
                text = f"{split} {label}<br />film {index}"
                (folder / split / label / f"{index}_7.txt").write_text(text, encoding="utf-8")
        (folder / split / "urls_pos.txt").write_text("not a review", encoding="utf-8")
    return folder


def sentences(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.tsv").write_text('sentence\tlabel\na "fine" film \t1\ndull \t0\n', encoding="utf-8")
    (folder / "dev.tsv").write_text("sentence\tlabel\nfine\t1\n", encoding="utf-8")
    (folder / "test.tsv").write_text("index\tsentence\n0\tno label\n", encoding="utf-8")
    return folder
