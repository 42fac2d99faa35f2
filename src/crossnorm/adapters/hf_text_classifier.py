"""Pretrained Hugging Face Transformers as text classifiers: their tokenizer, and a head on the mean token.

Nothing is unpickled, and no code from a model's repository is run.

Axes: b batch, n tokens, w width, c classes.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from crossnorm.adapters.hf_foreign_code import refuse_foreign_code
from crossnorm.errors import BadInput
from crossnorm.models.serialization import read_safetensors

__all__ = [
    "HEAD",
    "MAX_TOKENS",
    "NO_TOKEN",
    "TextClassifier",
    "TextEncoder",
    "load_text_classifier",
    "load_text_encoder",
    "quiet",
]

NO_TOKEN = -1
"""The id of padding in encoded texts, whatever the tokenizer pads with; no token has it."""

HEAD = "head.safetensors"
"""The file of the head, in the folder of a fine-tuned model."""

MAX_TOKENS = 128
"""Default for the number of tokens of a text that are read; fewer if the model has fewer positions."""


class TextEncoder:
    """A model's tokenizer: texts → ids, special tokens included.

    Attributes:
        identity: SHA-256 of the tokenizer's files and of the number of tokens read.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer, self.max_tokens = tokenizer, max_tokens
        self.identity = _identity(tokenizer, max_tokens)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Ids (texts, n), padded on the right with `NO_TOKEN`; n is the length of the longest text.

        A text without tokens becomes one end-of-text token.
        """
        found = self._tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        rows = [ids or [self._tokenizer.eos_token_id or 0] for ids in found]
        padded = np.full((len(rows), max(map(len, rows))), NO_TOKEN, dtype=np.int64)
        for row, ids in zip(padded, rows, strict=True):
            row[: len(ids)] = ids
        return padded

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self._tokenizer.save_pretrained(folder)


class TextClassifier(nn.Module):
    """A pretrained Transformer with a head: logits = W · (mean over the real tokens) + b.

    Args:
        body: A model of transformers.
        width: Channels of its tokens; None: the body is a classifier already, and its own logits are taken.
        classes: c.
        padding_id: Id of padding for the body; the attention mask hides it.
    """

    def __init__(self, body: nn.Module, width: int | None, classes: int, padding_id: int) -> None:
        super().__init__()
        self.body, self.padding_id = body, padding_id
        self.head = None if width is None else nn.Linear(width, classes)
        if self.head is not None:
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """(b, n) ids, padded with `NO_TOKEN` → logits (b, c)."""
        real = ids != NO_TOKEN
        found = self.body(input_ids=ids.masked_fill(~real, self.padding_id), attention_mask=real.long())
        if self.head is None:
            return found.logits  # type: ignore[no-any-return]
        tokens = found.last_hidden_state
        weights = real.unsqueeze(-1).to(tokens.dtype)
        return self.head((tokens * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def load_text_encoder(folder: Path, max_tokens: int | None = None) -> TextEncoder:
    """The tokenizer in a model's folder.

    Args:
        folder: As `save_pretrained` writes it.
        max_tokens: Number of tokens of a text that are read; None: `MAX_TOKENS`, or the model's number of positions if
            that is less.

    Raises:
        BadInput: transformers is not installed, the folder has no tokenizer or asks for code of its own, or the model
            has fewer positions.
    """
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1):
        raise BadInput("model.max_tokens", "a whole number from 1", max_tokens)
    transformers = _transformers()
    refuse_foreign_code(folder)
    with quiet(), _readable(folder, "a tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    limits = {
        "model_max_length": tokenizer.model_max_length,
        "max_position_embeddings": getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length,
    }
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
            raise BadInput(f"model.from: {folder}: {name}", "a number of tokens", value)
    most = int(min(limits.values()))
    if max_tokens is not None and max_tokens > most:
        raise BadInput("model.max_tokens", f"at most {most}, as many as {folder.name} has positions", max_tokens)
    return TextEncoder(tokenizer, max_tokens or min(MAX_TOKENS, most))


def load_text_classifier(folder: Path, classes: int) -> TextClassifier:
    """The pretrained model in a folder as a classifier, in float32.

    A head that the folder has (``…ForSequenceClassification`` or the file `HEAD`) is kept if its number of classes is
    the same; otherwise the head is drawn from torch's global generator. A variant in the configuration is not applied.

    Args:
        folder: As `save_pretrained` writes it, weights as safetensors.
        classes: c.

    Raises:
        BadInput: transformers is not installed, there are no safetensors weights, the folder asks for code of its own,
            or the model is an encoder-decoder.
    """
    import torch

    transformers = _transformers()
    refuse_foreign_code(folder)
    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet(), _readable(folder, "a pretrained Transformer with weights as safetensors"):
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        headed = any("ForSequenceClassification" in name for name in config.architectures or ())
        if config.is_encoder_decoder and not headed:
            raise BadInput("model.from", "an encoder or a decoder", f"the encoder-decoder {type(config).__name__}")
        kind = transformers.AutoModelForSequenceClassification if headed else transformers.AutoModel
        more = {"num_labels": classes, "ignore_mismatched_sizes": True} if headed else {}
        body = kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **local, **more)
        width = None if headed else int(config.hidden_size)
    padding_id = body.config.pad_token_id
    if padding_id is None:
        padding_id = body.config.pad_token_id = 0
    model = TextClassifier(body, width, classes, padding_id)
    if model.head is not None and (folder / HEAD).is_file():
        theirs, _ = read_safetensors(folder / HEAD)
        if {name: tensor.shape for name, tensor in theirs.items()} == {
            n: p.shape for n, p in model.head.named_parameters()
        }:
            model.head.load_state_dict(theirs)
    return model


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise BadInput.because(
            "model.from", "a pretrained text model needs the package transformers", "Try: pip install 'crossnorm[hf]'"
        ) from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Turn off transformers' progress bars and its warnings about unused or new weights."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _readable(folder: Path, what: str) -> Iterator[None]:
    """Turn any error of transformers into a `BadInput`."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput.because("model.from", f"cannot load {what} from {folder}: {reason.rstrip('.')}") from None


def _identity(tokenizer: Any, max_tokens: int) -> str:
    digest = hashlib.sha256(f"{max_tokens}\n".encode())
    with tempfile.TemporaryDirectory(prefix="crossnorm-tokenizer-") as scratch:
        tokenizer.save_pretrained(scratch)
        for file in sorted(Path(scratch).iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
