"""`picture`: a gallery of cross-normalization, with images as matrices and the attention heads of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from crossnorm.adapters.model_source import kept_model
from crossnorm.data import Task, load_task, prepare
from crossnorm.data.batches import steps_per_epoch
from crossnorm.errors import BadInput
from crossnorm.io import make_folder
from crossnorm.models import load_model
from crossnorm.report.figures.style import save
from crossnorm.report.gallery.example_images import generated, read_picture
from crossnorm.report.gallery.gallery_page import Exhibit, write_gallery
from crossnorm.report.gallery.heatmaps import HeadValues, heads_figure, products_figure
from crossnorm.report.gallery.matrix_products import PRODUCTS
from crossnorm.study.spec.arms import Arm
from crossnorm.study.storage.study_record import check_kept_model
from crossnorm.study.workload.build_model import build_member
from crossnorm.training.loop.attention_maps import attention_maps
from crossnorm.training.loop.cohort import SilentObserver, train_cohort
from crossnorm.training.loop.losses import logits_of
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.devices import pick_device

__all__ = ["picture"]

_SIZE = 256  # pixels per side of the images
_EPOCHS = 15  # of the small model

_LEAD = (
    "A gray image is a matrix, so two images can be multiplied. The product depends on what is "
    "normalized first: nothing; the rows of the left factor, as in attention; or the rows of the left factor and the "
    "columns of the right factor, which is cross-normalization.",
    "Attention multiplies a matrix of weights by a matrix of values, and normalizes only the weights. "
    "Cross-normalization normalizes the values too. The last figure shows both in a trained model.",
)


def picture(
    out: Path | str,
    *,
    left: Path | None = None,
    right: Path | None = None,
    checkpoint: Path | None = None,
    task: str = "digits",
    data: Path | str | None = None,
    layer: int = 0,
    example: int = 0,
    temperature: float = 8.0,
    device: str = "auto",
    progress: bool = True,
    imports: Sequence[str] = (),
) -> Path:
    """Write a gallery, ``picture.html``, and its images as PNG files into a folder, and return the page.

    Args:
        out: The folder; created if missing.
        left: Image file, the left factor; with `right`, shown before the generated pairs.
        right: Image file, the right factor.
        checkpoint: A kept model, or the folder of its run; None: train a small model.
        task: The task of the model.
        data: Folder or file with the task's data.
        layer: The attention layer whose heads are shown, from 0; negative: from the end.
        example: Index of the test example.
        temperature: Temperature τ of the softmax over pixels.
        device: Device to train the small model: "auto", "cpu", "cuda" or "mps".
        progress: Whether to show a progress bar on standard error.
        imports: Modules whose functions may act as the variant of `checkpoint`.

    Raises:
        BadInput: One factor without the other, a file that is not an image, no such layer or example.
    """
    if (left is None) != (right is None):
        raise BadInput.because("picture", "left and right must be given together")
    if not (np.isfinite(temperature) and temperature > 0):
        raise BadInput("temperature", "a number above 0", temperature)
    pairs = generated(_SIZE)
    if left is not None and right is not None:
        pairs = {f"{left.name} and {right.name}": (read_picture(left, _SIZE), read_picture(right, _SIZE))} | pairs
    folder = Path(out)
    loaded = load_task(task, data=data)
    model: torch.nn.Module | None = None
    if checkpoint is not None:
        check_kept_model(kept_model(Path(checkpoint)))
        model = load_model(kept_model(Path(checkpoint)), imports)
    if not 0 <= example < len(loaded.test):
        raise BadInput("example", f"0 to {len(loaded.test) - 1}", example)
    make_folder(folder)
    exhibits = [
        _multiplied(folder / f"matrices-{k}.png", title, factors, temperature)
        for k, (title, factors) in enumerate(pairs.items(), start=1)
    ]
    named = f"A small model, trained for {_EPOCHS} epochs," if checkpoint is None else Path(checkpoint).name
    model = model or _trained(loaded, device, progress)
    exhibits.append(_heads(folder / "heads.png", model, loaded, layer=layer, example=example, named=named))
    write_gallery(folder / "picture.html", "Cross-normalization in images", _LEAD, exhibits)
    return folder / "picture.html"


def _multiplied(file: Path, title: str, factors: tuple[Any, Any], temperature: float) -> Exhibit:
    save(products_figure(*factors, temperature=temperature), file, dpi=110)
    caption = [f"{product.title.capitalize()}: {product.text}" for product in PRODUCTS.values()]
    caption.append(
        f"τ = {temperature:g}. Each product is shown from its own smallest to its own largest value, written under it, "
        "the signed one symmetrically about 0; brightness cannot be compared between products."
    )
    return Exhibit(
        file=file,
        title=title[:1].upper() + title[1:],
        caption=tuple(caption),
        alt=f"Two images, {title}, and four products of them: {', '.join(p.title for p in PRODUCTS.values())}.",
    )


def _trained(task: Task, device: str, shown: bool) -> torch.nn.Module:
    """A small model of the task, trained with plain attention and seed 0."""
    size = {"embedding_dim": 32, "num_layers": 2} if task.kind in ("image", "sequence") else {}
    on = pick_device(device)
    member = build_member(Arm(name="small", recipe=make_recipe("quick", epochs=_EPOCHS)), size, task, 0, on)
    columns = TextColumn("training a small model"), BarColumn(bar_width=30), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as bars:
        bar = bars.add_task("", total=_EPOCHS * steps_per_epoch(task.train, member.recipe.batch_size))
        train_cohort([member], task, seed=0, device=on, observer=_Steps(lambda: bars.advance(bar)))
    return member.evaluated_model


class _Steps(SilentObserver):
    """Calls a function after every step."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance

    def stepped(self, members: int) -> None:
        """Advance by one step."""
        self._advance()


def _heads(file: Path, model: torch.nn.Module, task: Task, *, layer: int, example: int, named: str) -> Exhibit:
    raw = task.test.inputs[example : example + 1]
    inputs = prepare(raw, task)
    model = model.eval().cpu()
    guesses: list[Tensor] = []

    def forward() -> None:
        guesses.append(logits_of(model, inputs))

    found = attention_maps(model, forward, layer)
    parts = [part.numpy() for part in (found.weights, found.value, found.mixed, found.plain, found.crossed)]
    heads = [HeadValues(weights=a, value=v, mixed=s, plain=p, crossed=c) for a, v, s, p, c in zip(*parts, strict=True)]
    save(heads_figure(heads, _shown(raw, task)), file, dpi=110)
    tokens, channels = parts[1].shape[-2:]
    return Exhibit(
        file=file,
        title=f"Layer {layer} of a model of {task.name}",
        caption=(
            f"{named} on example {example} of the test set{_guess(guesses[0], task, example)}, head by head: the "
            f"attention map A (a row per query, a column per token), the values V ({tokens} tokens down, {channels} "
            "channels across), their softmax over the tokens S(V), and what becomes of them: A·V, and A·S(V), which "
            "is the variant convex at α = 1.",
            f"Every column of S(V) sums to 1, so its mean is 1/{tokens} = {1 / tokens:.3g}, far below the size of V: "
            "that is why a study compares with a control that only shrinks V. Numbers: smallest to largest value. "
            "V and A·V are blue below 0 and red above, the others dark at 0; no two matrices share a scale.",
        ),
        alt=f"{len(heads)} rows of five matrices: attention, values, their softmax over tokens, and the two outcomes.",
    )


def _shown(raw: Tensor, task: Task) -> Any:
    """The input as an array to show; None if it is not an image."""
    if task.kind != "image":
        return None
    channels = raw[0].numpy()
    return channels[0] if len(channels) == 1 else channels.transpose(1, 2, 0)


def _guess(logits: Tensor, task: Task, example: int) -> str:
    """The class and the prediction; empty for language tasks."""
    if task.kind == "language":
        return ""
    truth, guess = int(task.test.targets[example]), int(logits[0].argmax())
    return f" (class {task.classes[truth]}, predicted {task.classes[guess]})"
