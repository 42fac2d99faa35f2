"""The commands that need no torch, on the stored tables of results/, in an environment that lacks it."""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results"


def crossnorm(*arguments: object) -> str:
    command = [sys.executable, "-m", "crossnorm", *map(str, arguments)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    if find_spec("torch") is not None:
        raise SystemExit("torch is installed here: nothing would be tested")
    tables = [file for file in sorted(RESULTS.rglob("table.csv")) if (file.parent / "verdict.json").exists()]
    with tempfile.TemporaryDirectory() as folder:
        for number, table in enumerate(tables):
            stored = json.loads((table.parent / "verdict.json").read_text())
            out = Path(folder) / str(number)
            options = ["--metric", stored["metric"], "--direction", stored["direction"], "--margin", stored["margin"]]
            crossnorm("report", "--from", table, *options, "--out", out)
            drawn = json.loads((out / "verdict.json").read_text())
            for key in ("arms", "contrasts", "trend", "pairing"):
                if drawn[key] != stored[key]:
                    raise SystemExit(f"{table}: {key} differs from verdict.json beside it")
        crossnorm("new", Path(folder) / "study.yaml")
    for what in ("models", "tasks", "variants", "recipes", "studies"):
        json.loads(crossnorm("list", what, "--json"))
    print(f"{len(tables)} stored tables drawn again, without torch")


if __name__ == "__main__":
    main()
