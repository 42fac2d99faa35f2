"""Draw docs/images/quick.png, the picture of the README: learning curves beside differences and their verdicts.

crossnorm plot && python -m docs.readme_figure crossnorm/quick
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from crossnorm.api import read_result
from crossnorm.stats import bands

SHOWN = {"baseline": "#1c1c22", "attenuated-1": "#b08a6a", "convex-1": "#d9731a"}
GRAY = "#6b7280"


def main(folder: str) -> None:
    """Read the study in ``folder`` and write the picture."""
    result = read_result(folder)
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GRAY})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.5), width_ratios=[1, 1.15])
    draw_curves(left, result)
    draw_differences(right, result)
    figure.tight_layout(w_pad=2.5)
    figure.savefig(Path(__file__).parent / "images" / "quick.png", dpi=150, metadata={"Software": None})


def draw_curves(axes: plt.Axes, result) -> None:
    """Difference to the baseline over training: mean with band, and single seeds."""
    table = result.table
    names = [arm.name for arm in table.arms]
    epochs = table.metrics["epoch"][0, 0]
    loss = table.metrics["test_loss"]
    found = {band.arm: band for band in bands(table, "test_loss", difference=True).arms}
    for name in ("attenuated-1", "convex-1"):
        difference = loss[names.index(name)] - loss[names.index("baseline")]
        axes.plot(epochs, difference.T, color=SHOWN[name], lw=0.5, alpha=0.35)
        band = found[name]
        axes.fill_between(epochs, band.low, band.high, color=SHOWN[name], alpha=0.2, lw=0)
        axes.plot(epochs, band.mean, color=SHOWN[name], lw=2.2)
        axes.annotate(f" {name}", (epochs[-1], band.mean[-1]), color=SHOWN[name], va="center", annotation_clip=False)
    axes.axhline(0, color=SHOWN["baseline"], lw=1.5)
    axes.annotate(" baseline", (epochs[-1], 0), color=SHOWN["baseline"], va="center", annotation_clip=False)
    axes.set(xlabel="epoch", ylabel="test loss, arm − baseline", xlim=(0, epochs[-1]))
    axes.set_title("10 paired seeds, mean and 95 % band", loc="left", fontsize=10, fontweight="bold")


def draw_differences(axes: plt.Axes, result) -> None:
    """Every comparison with its interval and verdict; the margin is shaded."""
    verdict = result.verdict
    rows = [(f"{arm.arm} − baseline", arm) for arm in verdict.arms[1:]]
    rows += [(f"{contrast.arm} − {contrast.against}", contrast) for contrast in verdict.contrasts]
    axes.axvspan(-verdict.margin, verdict.margin, color="#e5e7eb", lw=0)
    axes.axvline(0, color=SHOWN["baseline"], lw=1.2)
    for height, (_, row) in enumerate(reversed(rows)):
        color = {"better": "#15803d", "worse": "#b91c1c"}.get(row.verdict, GRAY)
        axes.plot([row.low, row.high], [height, height], color=color, lw=2.5, solid_capstyle="butt")
        axes.plot(row.difference, height, "o", color=color, ms=5)
        axes.annotate(
            row.verdict,
            (1.02, height),
            xycoords=("axes fraction", "data"),
            color=color,
            va="center",
            fontweight="bold",
        )
    axes.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)])
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="difference in test loss at the end", ylim=(-0.6, len(rows) - 0.4))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title("At the end of training (shaded: ± margin)", loc="left", fontsize=10, fontweight="bold")


if __name__ == "__main__":
    main(sys.argv[1])
