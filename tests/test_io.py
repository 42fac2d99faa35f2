"""Atomic writes and file digests."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from pathlib import Path

import pytest

from crossnorm.errors import BadInput
from crossnorm.io import atomic_path, file_sha256, regular_file, write_atomically


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(path) as temporary:
        _ = (temporary.write_text("half"), temporary.with_name("missing").read_text())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_when_the_block_ends_with_the_usual_permissions(tmp_path):
    path, usual = tmp_path / "new.txt", tmp_path / "usual.txt"
    usual.touch()
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [path, usual]


def test_text_is_written_as_utf_8(tmp_path):
    write_atomically(tmp_path / "a", "α")
    assert (tmp_path / "a").read_bytes() == "α".encode()


def test_a_digest_covers_all_files_in_order(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"3" * (1 << 20) + b"5")
    other.write_bytes(b"7")
    assert file_sha256(one, other) == hashlib.sha256(b"3" * (1 << 20) + b"57").hexdigest()
    assert file_sha256(one, other) != file_sha256(other, one)


def test_only_regular_files_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"x" * 3_000_000)
    os.mkfifo("pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.close()
    assert regular_file(Path("file"), most=3_000_000) == Path("file")
    for name, reason in {
        "pipe": "expected a file, got a named pipe",
        "socket": "expected a file, got a socket",
        "/dev/zero": "expected a file, got a device",
        "/": "expected a file, got a folder",
        "absent": "no such file",
        "nul\0": "not a file name",
        "n" * 300: "cannot be read: File name too long",
        "file/below": "cannot be read: Not a directory",
    }.items():
        with pytest.raises(BadInput) as caught:
            regular_file(Path(name))
        assert str(caught.value) == f"{name}: {reason}.".replace("\0", "\\x00")
    with pytest.raises(BadInput, match=r"the data: expected a file of at most 1 MB, got 3.0 MB"):
        regular_file(Path("file"), most=1_000_000, name="the data")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInput, match="file: cannot be read: Permission denied"):
        regular_file(tmp_path / "file")
