"""The log of a run: all that a process prints, try after try, and where a crash happened."""

from __future__ import annotations

import subprocess
import sys

from crossnorm.study.storage.run_log import append_to_log, last_lines

WRITES = """
import os, subprocess, sys
from pathlib import Path
from crossnorm.study.storage.run_log import output_in
print("before")
with output_in(Path(sys.argv[1]), ["convex-1, seed 3"]):
    print("printed")
    print("an error", file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b"without python\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"])
print("after")
"""


def test_everything_printed_is_in_the_log_and_nothing_else(tmp_path):
    log = tmp_path / "log.txt"
    for tries in (1, 2):
        done = subprocess.run([sys.executable, "-c", WRITES, str(log)], capture_output=True, text=True, check=True)
        assert (done.stdout.split(), done.stderr) == (["before", "after"], "")
        lines = log.read_text().splitlines()
        assert len(lines) == 5 * tries
        assert lines[-5].startswith("=== ")
        assert lines[-5].endswith("convex-1, seed 3, started")
        assert sorted(lines[-4:]) == ["an error", "from a child", "printed", "without python"]


def test_the_last_lines_are_those_of_the_newest_try(tmp_path):
    log = tmp_path / "log.txt"
    assert last_lines(log) == []
    append_to_log(log, "old", "first try")
    assert last_lines(log) == ["old"]
    append_to_log(log, "new\n\nlast\n", "second try")
    append_to_log(log, "more")
    assert last_lines(log) == ["new", "last", "more"]
    append_to_log(log, "", "third try")
    assert last_lines(log) == []
