"""Compare training throughput: a crossnorm study, and vit-pytorch with torchvision transforms and a DataLoader.

    pip install vit-pytorch
    python benchmarks/throughput.py [--repeats 5] [--seconds 8] [--data IMAGES.zip] [--out results/throughput]

Ours: `crossnorm plot` with the recipe `paper` on CCT-2/3x2: one worker process with one thread per core, each with a
cohort of 5 doses of `convex` on shared batches; the images of every member count. Theirs: vit-pytorch's CCT of the same
size in float32 with AdamW, label smoothing, and torchvision's transforms of single images in a DataLoader. All numbers
of loader workers and threads are tried once; in every repeat the two best run again, and the faster counts. Ours and
theirs take turns in new processes. Images are random, or those of --data: a zip file or folder with train/CLASS/* and
test/CLASS/*, 32 × 32 pixels. Close other programs first.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

MODEL = "cct_2_3x2_32"
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
BATCH = 128
EXAMPLES = 20_000
LOADERS, THREADS = (0, 1, 2, 4), (1, 2)
WARM_STEPS = {"ours": 2, "theirs": 10}


class Window:
    """After some warm-up steps, waits for the start signal, then counts images for some seconds."""

    def __init__(self, role: str, seconds: float) -> None:
        self.warm, self.seconds, self.images, self.started = WARM_STEPS[role], seconds, 0, 0.0

    def step(self, images: int) -> bool:
        """Count images; returns whether the time is up."""
        self.warm -= 1
        if self.warm >= 0:
            if self.warm == 0:
                print("ready", flush=True)
                sys.stdin.readline()
                self.started = time.perf_counter()
            return False
        self.images += images
        return time.perf_counter() - self.started >= self.seconds

    def report(self, **about: Any) -> None:
        print(json.dumps({"rate": self.images / (time.perf_counter() - self.started), **about}), flush=True)


def open_task(data: Path | None) -> Any:
    from crossnorm.data import load_task
    from crossnorm.models.presets import configure
    from crossnorm.training.benchmark.noise_task import noise_task

    if data is not None:
        return load_task("folder", data=data, train_examples=EXAMPLES)
    return noise_task(configure(MODEL), train=EXAMPLES, test=BATCH)


class Enough(Exception):
    """Enough steps were counted."""


def ours(seconds: float, data: Path | None) -> None:
    import torch

    torch.set_num_threads(1)
    from dataclasses import replace

    from crossnorm.functional import Variant
    from crossnorm.models import count_parameters
    from crossnorm.training.benchmark.synthetic_load import Workload
    from crossnorm.training.loop.cohort import train_cohort
    from crossnorm.training.recipe.recipes import make_recipe
    from crossnorm.training.runtime.process_memory import hold_memory

    hold_memory()  # as every worker does
    task = open_task(data)
    task = replace(task, test=task.test.head(BATCH))
    work = Workload(model={"name": MODEL}, recipe=make_recipe("paper"), task=task, device=torch.device("cpu"))
    members = [work.member(Variant(name="convex", alpha=alpha)) for alpha in DOSES]
    window = Window("ours", seconds)

    class Counting:
        def evaluated(self, member: Any, row: Any) -> None:
            pass

        def failed(self, member: Any) -> None:
            raise SystemExit(member.failure)

        def stepped(self, stepped: int) -> None:
            if window.step(stepped * BATCH):
                raise Enough

    with contextlib.suppress(Enough):
        train_cohort(members, task, seed=0, device=work.device, observer=Counting())
    window.report(parameters=count_parameters(members[0].model))


class Images:
    """A map-style data set of transformed images in memory, like torchvision's CIFAR10."""

    def __init__(self, task: Any, transform: Callable[[Any], Any]) -> None:
        self.data = task.train.inputs.numpy().transpose(0, 2, 3, 1).copy()
        self.targets, self.transform = task.train.targets.tolist(), transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def usual_loader(task: Any, workers: int) -> Any:
    from torch.utils.data import DataLoader
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
            transforms.ToTensor(),
            transforms.Normalize(task.mean, task.std),
        ]
    )
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores are tried too
    images: Any = Images(task, transform)
    return DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers)


def usual_model(classes: int) -> Any:
    from vit_pytorch.cct import CCT

    return CCT(
        img_size=32,
        embedding_dim=128,
        n_conv_layers=2,
        kernel_size=3,
        stride=1,
        padding=1,
        pooling_kernel_size=3,
        pooling_stride=2,
        pooling_padding=1,
        num_layers=2,
        num_heads=2,
        mlp_ratio=1.0,
        num_classes=classes,
        positional_embedding="learnable",
        dropout_rate=0.0,
        attention_dropout=0.1,
        stochastic_depth_rate=0.1,
    )


def theirs(seconds: float, data: Path | None, workers: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    task = open_task(data)
    model = usual_model(task.n_classes).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=3e-2)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    loader, window = usual_loader(task, workers), Window("theirs", seconds)
    for images, targets in itertools.chain.from_iterable(itertools.repeat(loader)):
        loss = criterion(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if window.step(len(images)):
            break
    window.report(parameters=sum(p.numel() for p in model.parameters()))


@contextlib.contextmanager
def started(arguments: list[str], threads: int) -> Iterator[subprocess.Popen[str]]:
    """Start this script in a role."""
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def rate(
    role: str, given: argparse.Namespace, *, processes: int = 1, threads: int = 1, loaders: int = 0
) -> dict[str, Any]:
    """Images per second of several processes, which start together after their warm-up."""
    arguments = ["--role", role, "--seconds", str(given.seconds), "--threads", str(threads), "--loaders", str(loaders)]
    arguments += [] if given.data is None else ["--data", str(given.data)]
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(started(arguments, threads)) for _ in range(processes)]
        for process in running:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit(f"{role} did not get ready")
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(process.stdout.readline()) for process in running if process.stdout is not None]
    return {"rate": round(sum(each["rate"] for each in found), 1), "parameters": found[0]["parameters"]}


def measured(given: argparse.Namespace) -> dict[str, Any]:
    from crossnorm.study.executors.process_pool import default_workers
    from crossnorm.study.storage.environment import describe_environment

    tried: dict[tuple[int, int], float] = {}
    for loaders, threads in itertools.product(LOADERS, THREADS):
        tried[loaders, threads] = rate("theirs", given, threads=threads, loaders=loaders)["rate"]
        print(f"theirs, {loaders} loader workers, {threads} threads: {tried[loaders, threads]} images/s", flush=True)
    best = sorted(tried, key=lambda pair: -tried[pair])[:2]
    repeats = []
    for _ in range(given.repeats):
        mine = rate("ours", given, processes=default_workers())
        usual = [rate("theirs", given, threads=threads, loaders=loaders) for loaders, threads in best]
        if {each["parameters"] for each in usual} != {mine["parameters"]}:
            raise SystemExit(f"the models differ: {mine['parameters']} and {usual[0]['parameters']} parameters")
        fastest = max(each["rate"] for each in usual)
        repeats.append({"ours": mine["rate"], "theirs": fastest, "ratio": round(mine["rate"] / fastest, 3)})
        print(repeats[-1], flush=True)
    return {
        "model": MODEL,
        "parameters": mine["parameters"],
        "workers": default_workers(),
        "members": len(DOSES),
        "images": "random" if given.data is None else given.data.name,
        "seconds": given.seconds,
        "tried": [{"loader_workers": k[0], "threads": k[1], "rate": v} for k, v in tried.items()],
        "repeats": repeats,
        "median_ratio": median(each["ratio"] for each in repeats),
        "environment": {**describe_environment(), "vit-pytorch": version("vit-pytorch")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    for name in ("--role", "--threads", "--loaders"):
        parser.add_argument(name, type=str if name == "--role" else int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "ours":
        ours(given.seconds, given.data)
    elif given.role == "theirs":
        theirs(given.seconds, given.data, given.loaders, given.threads)
    else:
        text = json.dumps(measured(given), indent=2) + "\n"
        print(text, end="")
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "throughput.json").write_text(text)


if __name__ == "__main__":
    main()
