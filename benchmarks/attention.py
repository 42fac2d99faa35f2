"""Measure attention with every variant against plain attention: time and memory of a forward and backward pass.

    python benchmarks/attention.py [--tokens 256 1024 4096 16384] [--types float32 bfloat16]
        [--masks none padding causal llama decoding] [--repeats 5] [--device cpu] [--out results/attention]

One thread; batch 1, 8 heads of 64 channels. Values are drawn from N(0, 1), α = ½; `name@1` is α = 1, which needs one
product with A instead of two. Beyond 4096 tokens a few variants stand for all. Each case runs in a process of its own,
in which torch's ``scaled_dot_product_attention`` and the variants take turns; ratios are taken within a round. Memory
is the peak beyond the inputs of one pass in a fresh process, which returns freed blocks of 128 KiB and more at once.

`llama` is a training step of a Llama of 4 layers (width 576, 9 heads of queries, 3 of keys), converted with `matched`,
against the unconverted model. `decoding` is one token that the same model adds to a cache of so many tokens or a few
more, after another one.

Results are appended to attention.jsonl as they are measured; a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

MAPS = ("convex", "additive", "matched", "centred", "attenuated", "signed", "batch")
JOBS = {
    "none": (*MAPS, "laser", "laser@1"),
    "padding": (*MAPS, "laser", "laser@1"),
    "causal": (*MAPS, "laser", "convex@1", "matched@1", "centred@1", "signed@1", "laser@1"),
    "llama": ("matched@0", "matched"),
    "decoding": ("matched@0", "matched"),
}
PLAIN = "plain"


def bound(mask: str, job: str, tokens: int) -> tuple[float, float] | None:
    """The largest acceptable ratios of time and memory; None if none was set."""
    if mask == "llama":
        return None if "@" in job else {2048: (1.6, 1.3), 4096: (1.8, 1.3)}.get(tokens)
    if tokens < 1024 or mask == "decoding":
        return None
    if mask == "causal":
        return (1.4, 4.0) if "@1" in job else (2.5, 4.0)
    return None if "laser" in job else (1.1, 1.5)


def jobs_of(mask: str, tokens: int) -> tuple[str, ...]:
    """What is measured beside plain attention."""
    return tuple(job for job in JOBS[mask] if tokens <= 4096 or job in ("convex", "matched", "matched@0", "matched@1"))


def prepared(mask: str, tokens: int, kind: str, device: str) -> Callable[[str], Callable[[], object]]:
    """For each job what is to be measured: a pass, forward and backward, of an attention or a model, or one token."""
    if mask in ("llama", "decoding"):
        return prepared_model(mask, tokens, kind, device)
    import torch
    import torch.nn.functional as F

    from crossnorm.functional import Variant, attend

    draws = torch.Generator().manual_seed(0)
    shape = (1, 8, tokens, 64)
    inputs = [torch.randn(shape, generator=draws).to(device, getattr(torch, kind)) for _ in range(4)]
    query, key, value = (x.requires_grad_() for x in inputs[:3])
    settings: dict[str, Any] = {"is_causal": True} if mask == "causal" else {}
    if mask == "padding":
        settings = {"attn_mask": (torch.arange(tokens, device=device) < tokens * 7 // 8).view(1, 1, 1, -1)}

    def forward(job: str) -> torch.Tensor:
        if job == PLAIN:
            return F.scaled_dot_product_attention(query, key, value, **settings)
        name, _, dose = job.partition("@")
        variant = Variant(name=name, alpha=float(dose or 0.5))
        return attend(query, key, value, **settings, mixing=variant.mixing, alpha=variant.alpha)

    return lambda job: lambda: torch.autograd.grad(forward(job), (query, key, value), inputs[3])


def prepared_model(mask: str, tokens: int, kind: str, device: str) -> Callable[[str], Callable[[], object]]:
    """A training step of a Llama, or one token that it adds to a cache, for each job."""
    import torch
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    from crossnorm import Variant, convert

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=576, intermediate_size=1536, num_hidden_layers=4, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=tokens + 1000,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(device, getattr(torch, kind))
    handle = convert(model, Variant(name="matched", alpha=0.0))
    ids = torch.randint(config.vocab_size, (1, tokens), device=device)

    def step() -> None:
        model(input_ids=ids, labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)

    @torch.no_grad()
    def token() -> None:
        model(input_ids=ids[:, :1], cache=cache)

    def pass_of(job: str) -> Callable[[], object]:
        name, _, dose = job.partition("@")
        handle.alpha = 0.0 if name == PLAIN else float(dose or 0.5)
        if mask == "llama":
            return step
        token()  # after a token at another α the exponentials are not known
        return token

    if mask == "decoding":
        with torch.no_grad():
            cache = model(input_ids=ids, cache=DynamicCache(config=config)).cache
    return pass_of


def time_here(mask: str, tokens: int, kind: str, device: str, repeats: int) -> dict[str, Any]:
    """Seconds of plain attention and ratios of the variants, in this process."""
    import torch

    from crossnorm.training.benchmark.timing import clock_of, spread, take_turns

    torch.set_num_threads(1)
    pass_of = prepared(mask, tokens, kind, device)
    variants = jobs_of(mask, tokens)
    jobs = {job: (lambda job=job: pass_of(job)) for job in (PLAIN, *variants)}
    seconds = take_turns(jobs, repeats, clock=clock_of(torch.device(device)))
    ratios = {
        job: asdict(spread([a / b for a, b in zip(seconds[job], seconds[PLAIN], strict=True)])) for job in variants
    }
    return {"seconds": asdict(spread(seconds[PLAIN])), "ratios": ratios}


def memory_here(mask: str, tokens: int, kind: str, device: str, job: str) -> dict[str, float]:
    """Peak memory in MiB beyond the inputs of one pass, in this process, which has run a short pass before."""
    import torch

    torch.set_num_threads(1)
    prepared(mask, 256, kind, device)(job)()
    measured = prepared(mask, tokens, kind, device)(job)
    if device != "cpu":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        measured()
        return {"extra": (torch.cuda.max_memory_allocated() - before) / 2**20, "whole": float("nan")}
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    measured()
    return {"extra": _status("VmHWM") - before, "whole": _status("VmHWM")}


def _status(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def in_process(arguments: list[str]) -> dict[str, Any]:
    """The result of this script with the hidden arguments, in a new process."""
    command = [sys.executable, __file__, *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if "--memory" in arguments:
        env["MALLOC_MMAP_THRESHOLD_"] = str(128 * 1024)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(given: argparse.Namespace, mask: str, tokens: int, kind: str) -> dict[str, Any]:
    """Time and memory of one case."""
    case = [mask, str(tokens), kind, given.device]
    found = in_process(["--time", *case, "--repeats", str(given.repeats)])
    memory = {job: in_process(["--memory", *case, job]) for job in (PLAIN, *jobs_of(mask, tokens))}
    return {"mask": mask, "tokens": tokens, "type": kind, **found, "memory": memory}


def lines(row: dict[str, Any]) -> list[str]:
    """A case as text, one line a variant; an exclamation mark where a bound is exceeded."""
    head = f"{row['type']} {row['mask']} {row['tokens']}"
    plain = row["memory"][PLAIN]["extra"]
    out = [f"{head}: plain {row['seconds']['median']:.4g} s, {plain:.0f} MiB"]
    for job, ratio in row["ratios"].items():
        space = row["memory"][job]["extra"] / plain if plain else float("nan")
        limit = bound(row["mask"], job, row["tokens"])
        missed = limit is not None and (ratio["median"] > limit[0] or space > limit[1])
        spread = f"{ratio['median']:.2f} [{ratio['low']:.2f} to {ratio['high']:.2f}]"
        out.append(f"    {job:11} time {spread}  memory {space:.2f}{'  !' if missed else ''}")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024, 4096, 16384])
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--masks", nargs="+", choices=JOBS, default=list(JOBS), help="What is measured.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("attention"))
    parser.add_argument("--time", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.time is not None:
        mask, tokens, kind, device = given.time
        print(json.dumps(time_here(mask, int(tokens), kind, device, given.repeats)))
        return 0
    if given.memory is not None:
        mask, tokens, kind, device, job = given.memory
        print(json.dumps(memory_here(mask, int(tokens), kind, device, job)))
        return 0
    from crossnorm.study.storage.environment import describe_environment

    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "attention.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(row["type"], row["mask"], row["tokens"]) for row in rows}
    for kind in given.types:
        for tokens in given.tokens:
            for mask in given.masks:
                if (kind, mask, tokens) not in known:
                    row = measure(given, mask, tokens, kind) | {"environment": describe_environment()}
                    with path.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print("\n".join(lines(row)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
