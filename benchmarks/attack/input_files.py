"""Files that commands read beside studies: tables, images, texts, word vectors."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.arena import Arena, Trial

HEAD = "arm,seed,step,loss\n"
ROWS = "".join(f"{arm},{seed},{step},{0.5 + seed / 10 + step / 7}\n" for arm in ("baseline", "b") for seed in range(3)
               for step in range(3))  # fmt: skip
WHOLE = (HEAD + ROWS).encode()
TABLES: dict[str, bytes] = {
    "empty": b"",
    "only a head": HEAD.encode(),
    "no rows of the baseline": HEAD.encode() + b"b,0,0,1\n",
    "a missing column": b"arm,seed,loss\nbaseline,0,1\n",
    "duplicate columns": b"arm,seed,step,loss,loss\nbaseline,0,0,1,2\n",
    "duplicate rows": WHOLE + ROWS.encode(),
    "text for a number": WHOLE + b"b,1,1,nonsense\n",
    "text for a seed": WHOLE + b"b,one,1,2\n",
    "a seed of 400 digits": WHOLE + b"b,1" + b"0" * 400 + b",1,2\n",
    "a step of 1e308": WHOLE + b"b,1,1e308,2\n",
    "a negative step": WHOLE + b"b,1,-4,2\n",
    "half a step": WHOLE + b"b,1,0.5,2\n",
    "nan": WHOLE + b"b,1,3,nan\n",
    "inf": WHOLE + b"b,1,3,inf\n",
    "1e308": WHOLE.replace(b"0.5", b"1e308"),
    "400 digits": WHOLE + b"b,1,3,1" + b"0" * 400 + b"\n",
    "formulas": (HEAD + ROWS.replace("b,", "=cmd|'/c calc'!A1,")).encode(),
    "an arm with HTML": (HEAD + ROWS.replace("b,", "<script>alert(1)</script>,")).encode(),
    "an arm with a path": (HEAD + ROWS.replace("b,", "../../outside/x,")).encode(),
    "an arm of a megabyte": (HEAD + ROWS + "x" * 1_000_000 + ",0,0,1\n").encode(),
    "mathtext": (HEAD + ROWS.replace("b,", "$\\frac{a,")).encode(),
    "escape codes": (HEAD + ROWS.replace("b,", "\x1b[2J,")).encode(),
    "a quote that never ends": WHOLE + b'"b,1,3,2\n' + b"x\n" * 1000,
    "a line of 10 MB": WHOLE + b"b," + b"9" * 10_000_000 + b"\n",
    "100 000 columns": b"arm,seed,step,loss," + b",".join(b"c%d" % n for n in range(100_000)) + b"\nbaseline,0,0,1\n",
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + WHOLE,
    "Latin-1": WHOLE.replace(b"b,", "é,".encode("latin-1")),
    "NUL bytes": WHOLE + b"b,\0,1,2\n",
    "gzip": gzip.compress(WHOLE),
    "zip": b"PK\x03\x04" + bytes(60),
    "binary": bytes(range(256)) * 20,
    "semicolons": WHOLE.replace(b",", b";"),
    "old Mac lines": WHOLE.replace(b"\n", b"\r"),
    "surplus fields": WHOLE + b"b,1,3,2,9,9,9,9\n",
    "a control that does not exist": b"arm,seed,step,loss,control\nbaseline,0,0,1,\nb,0,0,2,nothing\n",
    "controls in a ring": b"arm,seed,step,loss,control\nbaseline,0,0,1,\nb,0,0,2,c\nc,0,0,2,b\n",
    "doses that differ": b"arm,seed,step,loss,dose\nbaseline,0,0,1,0\nb,0,0,2,1\nb,1,0,2,0.5\n",
    "a dose of nan": b"arm,seed,step,loss,dose\nbaseline,0,0,1,nan\nb,0,0,2,1\n",
    "10 000 arms": (HEAD + "".join(f"a{n},0,0,{n}\n" for n in range(10_000))).encode(),
}
LINES: dict[str, bytes] = {
    "a list": b"[1, 2]\n",
    "torn": b'{"arm": "baseline", "seed": 0, "st',
    "nested": b"[" * 100_000,
    "a list for a number": b'{"arm": "baseline", "seed": [0], "step": 0, "loss": 1}\n',
    "a mapping for an arm": b'{"arm": {"a": 1}, "seed": 0, "step": 0, "loss": 1}\n',
    "5000 digits": b'{"arm": "baseline", "seed": 0, "step": 0, "loss": ' + b"9" * 5000 + b"}\n",
    "NaN": b'{"arm": "baseline", "seed": 0, "step": 0, "loss": NaN}\n',
    "a lone surrogate": b'{"arm": "\\ud800", "seed": 0, "step": 0, "loss": 1}\n',
    "true for a seed": b'{"arm": "baseline", "seed": true, "step": 0, "loss": 1}\n',
}


def trials() -> Iterator[Trial]:
    yield from tables()
    yield from images()
    yield from texts()


def tables() -> Iterator[Trial]:
    """Tables for ``report --from``."""
    for suffix, contents in ((".csv", TABLES), (".jsonl", LINES)):
        for name, content in contents.items():

            def act(arena: Arena, suffix=suffix, content=content) -> None:
                (arena.work / f"runs{suffix}").write_bytes(content)
                reported(arena, f"runs{suffix}")

            yield Trial(f"table {suffix}: {name}", act)
    specials: dict[str, Callable[[Arena, Path], None]] = {
        "a FIFO": lambda arena, path: os.mkfifo(path),
        "a folder": lambda arena, path: path.mkdir(),
        "/dev/zero": lambda arena, path: path.symlink_to("/dev/zero"),
        "events that are none": lambda arena, path: events(path, b"nonsense"),
        "events that are cut off": lambda arena, path: events(path, struct.pack("<QI", 1 << 40, 0)),
    }
    for name, make in specials.items():

        def act(arena: Arena, make=make) -> None:
            make(arena, arena.work / "runs.csv")
            reported(arena, "runs.csv")

        yield Trial(f"table: {name}", act)


def events(path: Path, content: bytes) -> None:
    for arm in ("baseline", "b"):
        (path / arm / "0").mkdir(parents=True)
        (path / arm / "0" / "events.out.tfevents.1.vm").write_bytes(content)


def reported(arena: Arena, *names: str) -> None:
    tables = [word for name in names for word in ("--from", name)]
    arena.run("report", *tables, "--metric", "loss", "--direction", "lower", "--out", "out")


def images() -> Iterator[Trial]:
    """Folders of images as a task's data."""
    for name, content in pictures().items():

        def act(arena: Arena, content=content) -> None:
            picture_folder(arena.work / "images", content)
            plan(arena, "task: folder\ndata: images\n")

        yield Trial(f"image: {name}", act)

        def shown(arena: Arena, content=content) -> None:
            (arena.work / "a.png").write_bytes(content)
            arena.run("picture", "--left", "a.png", "--right", "a.png", "--out", "out")

        yield Trial(f"picture: {name}", shown)

    def fifo(arena: Arena) -> None:
        picture_folder(arena.work / "images", png(8, 8))
        path = arena.work / "images" / "train" / "cat" / "0.png"
        path.unlink()
        os.mkfifo(path)
        plan(arena, "task: folder\ndata: images\n")

    def archive(arena: Arena) -> None:
        with zipfile.ZipFile(arena.work / "images.zip", "w") as file:
            for name in ("train/../../../outside/x.png", "/outside/y.png", "train/cat/0.png", "test/cat/0.png"):
                file.writestr(name, png(8, 8))
        plan(arena, "task: folder\ndata: images.zip\n")

    def bomb(arena: Arena) -> None:
        with zipfile.ZipFile(arena.work / "images.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name in ("train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/dog/0.png"):
                file.writestr(name, png(8, 8) + bytes(200_000_000))
        plan(arena, "task: folder\ndata: images.zip\n")

    yield Trial("images: a FIFO", fifo)
    yield Trial("images: a zip with paths outside", archive)
    yield Trial("images: a zip of 800 MB", bomb)


def picture_folder(folder: Path, content: bytes) -> None:
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (folder / part / label).mkdir(parents=True)
            for number in range(4):
                (folder / part / label / f"{number}.png").write_bytes(content)


def png(width: int, height: int, data: bytes | None = None) -> bytes:
    """A gray image; `data` in place of its compressed pixels."""
    pixels = zlib.compress(bytes((width + 1) * height)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def pictures() -> dict[str, bytes]:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(touch /tmp/x) run\nshowpage\n"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><image href="file:///etc/passwd"/></svg>'
    others = {kind: encoded(kind) for kind in ("TIFF", "WEBP", "GIF", "BMP", "PPM", "ICO")}
    return {
        "empty": b"",
        "text": b"nonsense",
        "truncated": png(64, 64)[:60],
        "no pixels": png(8, 8, b""),
        "wrong pixels": png(8, 8, b"nonsense"),
        "no width": png(0, 8),
        "bomb of 10^10 pixels": png(100_000, 100_000, zlib.compress(bytes(1000))),
        "bomb of 10^8 pixels": png(12_000, 10_000, zlib.compress(bytes(12_001 * 10_000), 9)),
        "4 GiB wide": png((1 << 31) - 1, 1, zlib.compress(bytes(10))),
        "EPS": eps,
        "SVG": svg,
        **others,
    }


def encoded(kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 80, 200)).save(file, kind)
    return file.getvalue()


def plan(arena: Arena, fields: str) -> None:
    """Plan a small study of these fields."""
    (arena.work / "study.yaml").write_text(fields + "alphas: [0, 1]\nseeds: 2\n")
    arena.run("plan", "study.yaml", "--out", "out")


def texts() -> Iterator[Trial]:
    """Text files of tasks, and word vectors."""
    contents: dict[str, bytes] = {
        "empty": b"",
        "one byte": b"x",
        "binary": bytes(range(256)) * 40,
        "NUL bytes": bytes(4096),
        "UTF-16": ("the king of spain " * 300).encode("utf-16"),
        "lone surrogates": "the king \ud800 of spain ".encode("utf-8", "surrogatepass") * 200,
        "one line of 5 MB": b"HUM:ind who " * 400_000,
        "no label": b"who is the king ?\n" * 50,
        "a label of a megabyte": b"A" * 1_000_000 + b":x who ?\n",
        "50 000 labels": b"".join(b"L%d:x who ?\n" % n for n in range(50_000)),
    }
    for name, content in contents.items():

        def question(arena: Arena, content=content) -> None:
            (arena.work / "questions").mkdir()
            for part in ("TREC.train", "TREC.test"):
                (arena.work / "questions" / part).write_bytes(content)
            plan(arena, "task: trec\ndata: questions\n")

        def stream(arena: Arena, content=content) -> None:
            (arena.work / "text.txt").write_bytes(content)
            plan(arena, "task: bytes\ndata: text.txt\n")

        yield Trial(f"questions: {name}", question)
        yield Trial(f"bytes: {name}", stream)
    vectors: dict[str, bytes] = {
        "empty": b"",
        "a head only": b"1000000000000 300\n",
        "no numbers": b"king nonsense\n",
        "nan": b"king nan inf 1e999\n",
        "lines of unequal length": b"king 1 2 3\nspain 1 2\n",
        "binary": bytes(range(256)) * 40,
        "a word alone": b"king\n",
        "a line of 10 MB": b"king " + b"1 " * 5_000_000 + b"\n",
        "Latin-1": "café 1 2 3\n".encode("latin-1"),
        "gzip": gzip.compress(b"king 1 2 3\n"),
    }
    for name, content in vectors.items():

        def vector(arena: Arena, content=content) -> None:
            write_questions(arena)
            (arena.work / "vectors.txt").write_bytes(content)
            plan(arena, "task: trec\ndata: questions\nmodel: {word_vectors: vectors.txt}\n")

        yield Trial(f"word vectors: {name}", vector)


def write_questions(arena: Arena) -> None:
    from tests.pretrained_cases import write_questions

    write_questions(arena.work / "questions")
