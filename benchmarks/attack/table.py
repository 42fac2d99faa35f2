"""The counts of an attack: attack.json and README.md."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import crossnorm

PACKAGES = ("crossnorm", "torch", "numpy", "pydantic", "typer", "matplotlib", "transformers")
KINDS = (
    *("wrong verdict", "wrong curve", "half-written answer", "file touched", "code run", "network"),
    *("traceback", "hang", "exit code", "no message"),
)


def write_table(folder: Path, entries: Sequence[dict[str, Any]], *, seed: int) -> None:
    """Write attack.json (counts of every family, and every finding) and README.md (a table of them)."""
    families = {name: _counted([e for e in entries if e["family"] == name]) for name in _names(entries)}
    found = [
        {"family": entry["family"], "trial": entry["trial"], **finding}
        for entry in entries
        for finding in entry["findings"]
    ]
    value = {"seed": seed, "environment": _environment(), "families": families, "findings": found}
    text = json.dumps(value, indent=2, ensure_ascii=False)
    (folder / "attack.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_page(value), encoding="utf-8")


def _names(entries: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(entry["family"] for entry in entries))


def _counted(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kinds = Counter(finding["what"] for entry in entries for finding in entry["findings"])
    counts: Counter[str] = Counter()
    for entry in entries:
        counts.update(entry["counts"])
    return {
        "trials": len(entries),
        "trials_with_findings": sum(bool(entry["findings"]) for entry in entries),
        "minutes": round(sum(entry["seconds"] for entry in entries) / 60, 1),
        "findings": dict(sorted(kinds.items())),
        "counts": dict(sorted(counts.items())),
    }


def _environment() -> dict[str, str]:
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    for package in PACKAGES:
        try:
            facts[package] = crossnorm.__version__ if package == "crossnorm" else version(package)
        except PackageNotFoundError:
            facts[package] = "missing"
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return facts | {"processor": next(names, "unknown"), "cores": str(len(os.sched_getaffinity(0)))}


def _page(value: dict[str, Any]) -> str:
    families, facts = value["families"], value["environment"]
    kinds = [kind for kind in KINDS if any(kind in family["findings"] for family in families.values())]
    others = sorted({kind for family in families.values() for kind in family["findings"]} - set(KINDS))
    columns = [*kinds, *others]
    head = ["family", "trials", "minutes", "trials with findings", *columns]
    rows = [
        [name, f["trials"], f["minutes"], f["trials_with_findings"], *(f["findings"].get(kind, 0) for kind in columns)]
        for name, f in families.items()
    ]
    table = [head, ["---"] * len(head), *rows]
    counts = [f"{name}: {', '.join(f'{n} {what}' for what, n in f['counts'].items())}." for name, f in families.items()
              if f["counts"]]  # fmt: skip
    return "\n".join(
        (
            "# Attacked from outside",
            "",
            f"    python -m benchmarks.attack --seed {value['seed']} --out results/faults",
            "",
            "Studies are killed at random moments, folders are tampered with, inputs are nonsense, the environment is",
            "hostile, and the live page gets bad requests. A finding is a verdict or a curve that differs from the",
            "undisturbed one without an error, a file touched outside the study's folder, code run, a connection to",
            "the network, a traceback, a hang, an undocumented exit code, or a half-written answer. Each trial and its",
            "findings: [attack.json](attack.json).",
            "",
            *("| " + " | ".join(map(str, row)) + " |" for row in table),
            "",
            *counts,
            *([""] if counts else []),
            f"Measured on {facts['cores']} cores of {facts['processor']} under {facts['system']}, Python "
            f"{facts['python']}, " + ", ".join(f"{package} {facts[package]}" for package in PACKAGES) + ".",
            "",
        )
    )
