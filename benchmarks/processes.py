"""Measure the training throughput of several processes on one device.

    python benchmarks/processes.py [--device cuda] [--recipe paper] [--processes 1 15] [--seconds 6]

CCT-2/3x2 on random images of 32 × 32 pixels; every process has one thread and its own model, like the workers of a
study. They start together after three steps. Batches are augmented on the CPU. "Batch" and "step" are the milliseconds
in which the first process makes a batch and queues a step; the device may still be computing then.
"""

from __future__ import annotations

import argparse
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from queue import Empty

import torch

from crossnorm.errors import BadInput
from crossnorm.training.benchmark.synthetic_load import open_workload
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.devices import pick_device
from crossnorm.training.runtime.process_memory import hold_memory

WARM_STEPS = 3
TIMEOUT = 120  # seconds for all processes to have started


def work(number: int, device: str, recipe: str, seconds: float, start: Barrier, found: Queue) -> None:
    torch.set_num_threads(1)
    hold_memory()
    workload = open_workload({"name": "cct_2_3x2_32"}, make_recipe(recipe), pick_device(device))
    member, steps, batch, step = workload.member(), 0, 0.0, 0.0
    for warm in range(WARM_STEPS):
        workload.step(member, *workload.batch(warm))
    wait = torch.cuda.synchronize if workload.device.type == "cuda" else lambda: None
    wait()
    start.wait(timeout=TIMEOUT)
    begun = time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds:
        inputs = workload.batch(WARM_STEPS + steps)
        made = time.perf_counter()
        workload.step(member, *inputs)
        batch, step, steps = batch + made - now, step + time.perf_counter() - made, steps + 1
    wait()
    rate = steps * workload.recipe.batch_size / (time.perf_counter() - begun)
    found.put((number, rate, 1000 * batch / steps, 1000 * step / steps))


def side_by_side(count: int, device: str, recipe: str, seconds: float) -> str:
    context = get_context("spawn")
    start, found = context.Barrier(count), context.Queue()
    about = (device, recipe, seconds, start, found)
    # Daemons end with this process, also if one has failed.
    processes = [context.Process(target=work, args=(n, *about), daemon=True) for n in range(count)]
    for process in processes:
        process.start()
    try:
        results = sorted(found.get(timeout=TIMEOUT + seconds) for _ in processes)
    except Empty:
        raise SystemExit(f"{count} processes: not all finished; see the error above") from None
    for process in processes:
        process.join()
    _, _, batch, step = results[0]
    return f"| {count} | {sum(rate for _, rate, _, _ in results):.0f} | {batch:.1f} | {step:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6)
    given = parser.parse_args()
    try:
        make_recipe(given.recipe)
    except BadInput as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    print("| processes | images/s | batch, ms | step, ms |\n|---|---|---|---|")
    for count in given.processes:
        print(side_by_side(count, given.device, given.recipe, given.seconds), flush=True)


if __name__ == "__main__":
    main()
