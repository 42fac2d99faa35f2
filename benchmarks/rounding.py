"""Measure what bfloat16 costs attention with every variant in precision, against what it costs plain attention.

    python benchmarks/rounding.py [--tokens 256 1024] [--out results/attention]

For values of standard deviation σ: the error of the output and of the gradients of Q, K and V, against float64 on the
same bfloat16 inputs, each as ‖difference‖ / ‖float64‖, over the same error of plain attention. The products of 256
tokens are those of an explicit matrix, of 1024 those of fused kernels. `as on CUDA` takes the products of values and
exponentials that a GPU takes, in bfloat16, which a CPU replaces by float32.

Writes rounding.json and prints a table; an exclamation mark where an error is more than twice that of plain attention.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossnorm.functional import Variant, attend, weights
from crossnorm.functional.variant import Mixing
from crossnorm.study.storage.environment import describe_environment

NAMES = ("convex", "matched", "centred", "signed", "laser")
SIGMAS = (0.05, 0.2, 1.0, 2.0)
OF = ("output", "query", "key", "value")


def errors(tokens: int, sigma: float, causal: bool) -> list[dict[str, Any]]:
    """One row a variant and α: the errors over those of plain attention, in the order of `OF`."""
    draws = torch.Generator().manual_seed(1)
    query, key, value, above = (torch.randn(1, 2, tokens, 64, generator=draws) for _ in range(4))
    rounded = [x.bfloat16() for x in (query, key, value * sigma, above)]

    def computed(dtype: torch.dtype, mixing: Mixing | None, alpha: float) -> tuple[Tensor, ...]:
        inputs = [x.to(dtype).requires_grad_() for x in rounded[:3]]
        out = attend(*inputs, is_causal=causal, mixing=mixing, alpha=alpha)
        return (out, *torch.autograd.grad(out, inputs, rounded[3].to(dtype)))

    def of(mixing: Mixing | None, alpha: float) -> list[float]:
        found, wanted = computed(torch.bfloat16, mixing, alpha), computed(torch.float64, mixing, alpha)
        return [float(((x.double() - y).norm() / y.norm()).detach()) for x, y in zip(found, wanted, strict=True)]

    plain = of(None, 0.0)
    case = {"tokens": tokens, "sigma": sigma, "mask": "causal" if causal else "none", "plain": plain}
    return [
        case
        | {
            "variant": name,
            "alpha": alpha,
            "ratios": [a / b for a, b in zip(of(Variant(name=name).mixing, alpha), plain, strict=True)],
        }
        for name in NAMES
        for alpha in (1.0, 0.5)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--out", type=Path, default=Path("attention"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for products in ("here", "as on CUDA"):
        if products != "here":
            weights._WIDENED["cpu"] = weights._WIDENED["cuda"]
        for tokens in given.tokens if products == "here" else [n for n in given.tokens if n > 256]:
            for causal in (False, True):
                for sigma in SIGMAS:
                    for row in errors(tokens, sigma, causal):
                        rows.append(row | {"products": products})
                        print(line(rows[-1]), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"environment": describe_environment(), "of": OF, "rows": rows}
    (given.out / "rounding.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


def line(row: dict[str, Any]) -> str:
    """A row as text."""
    where = f"{row['products']} {row['tokens']} {row['mask']} σ = {row['sigma']:g} {row['variant']}@{row['alpha']:g}"
    return f"{where:45} {' '.join(f'{x:5.2f}' for x in row['ratios'])}{'  !' if max(row['ratios']) > 2 else ''}"


if __name__ == "__main__":
    raise SystemExit(main())
