"""Whatever a user names as a file: a socket in its place is refused by kind, before it is opened."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from crossnorm import compare
from crossnorm.data import load_task
from crossnorm.errors import BadInput
from crossnorm.models import create_model, load_model, load_weights, load_word_vectors
from crossnorm.report.gallery.example_images import read_picture
from crossnorm.study.spec.schema import read_fields
from crossnorm.study.workload.build_model import _checked_weights
from crossnorm.training.checkpoint.file_format import read_state


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("study.yaml", read_fields),
        ("runs.csv", lambda path: compare(path, metric="loss", direction="lower")),
        ("runs.jsonl", lambda path: compare(path, metric="loss", direction="lower")),
        ("model.safetensors", load_model),
        ("model.pt", lambda path: load_weights(create_model("vit_2_4_32"), path)),
        ("weights.safetensors", lambda path: _checked_weights({"weights": str(path)})),
        ("checkpoint.safetensors", read_state),
        ("vectors.txt", lambda path: load_word_vectors(path, ["a"])),
        ("image.png", lambda path: read_picture(path, 8)),
        ("images.zip", lambda path: load_task("folder", data=path)),
        ("text.txt", lambda path: load_task("shakespeare", data=path)),
        ("bytes.bin", lambda path: load_task("bytes", data=path)),
    ],
)
def test_a_socket_in_place_of_a_file(tmp_path, monkeypatch, name, read):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
    with pytest.raises(BadInput, match="expected a file, got a socket"):
        read(Path(name))
