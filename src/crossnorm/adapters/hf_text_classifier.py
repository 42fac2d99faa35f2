"""Pretrained Transformers of Hugging Face as classifiers of texts: their tokenizer, and a head on their mean token.

Knows transformers; knows nothing of tasks, variants or training. Nothing is unpickled and no code of a model's
repository is run.

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
"""Stands for padding in encoded texts, whatever the tokenizer pads with: no token has this id."""

HEAD = "head.safetensors"
"""The file beside a fine-tuned model that holds its head."""

MAX_TOKENS = 128
"""Tokens of a text that are read, unless the model is told otherwise; never more than it has positions."""


class TextEncoder:
    """A model's own tokenizer: texts → ids, special tokens included.

    Attributes:
        identity: SHA-256 of the tokenizer's files and of the number of tokens read.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer, self.max_tokens = tokenizer, max_tokens
        self.identity = _identity(tokenizer, max_tokens)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Ids (texts, n), n those of the longest text, padded on the right with `NO_TOKEN`.

        A text that gives no token is one end-of-text token.
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
    """A pretrained Transformer and a head: logits = W · mean over the real tokens + b, or its own head's.

    Args:
        body: A model of transformers.
        width: Channels of its tokens; None: the body is a classifier and has a head of its own.
        classes: c.
        padding_id: What padded places hold for the body; the attention mask hides them.
    """

    def __init__(self, body: nn.Module, width: int | None, classes: int, padding_id: int) -> None:
        super().__init__()
        self.body, self.padding_id = body, padding_id
        self.head = None if width is None else nn.Linear(width, classes)
        if self.head is not None:
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """(b, n) ids, `NO_TOKEN` where there is none → logits (b, c)."""
        real = ids != NO_TOKEN
        found = self.body(input_ids=ids.masked_fill(~real, self.padding_id), attention_mask=real.long())
        if self.head is None:
            return found.logits  # type: ignore[no-any-return]
        tokens = found.last_hidden_state
        weights = real.unsqueeze(-1).to(tokens.dtype)
        return self.head((tokens * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def load_text_encoder(folder: Path, max_tokens: int | None = None) -> TextEncoder:
    """The tokenizer of a model's folder.

    Args:
        folder: As `save_pretrained` writes it.
        max_tokens: Tokens of a text that are read; default `MAX_TOKENS`, or as many as the model has positions.

    Raises:
        BadInput: transformers is missing, the folder has no tokenizer, or fewer positions than tokens asked for.
    """
    if max_tokens is not None and (isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1):
        raise BadInput("model.max_tokens", "a whole number from 1", max_tokens)
    transformers = _transformers()
    with quiet(), _readable(folder, "a tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    most = min(
        tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    )
    if max_tokens is not None and max_tokens > most:
        raise BadInput("model.max_tokens", f"at most {most}, as many as {folder.name} has positions", max_tokens)
    return TextEncoder(tokenizer, max_tokens or min(MAX_TOKENS, most))


def load_text_classifier(folder: Path, classes: int) -> TextClassifier:
    """The pretrained model of a folder as a classifier, in float32.

    A model with a head of its own (``…ForSequenceClassification``, or `HEAD` beside it) keeps it where the number of
    classes is the same; any other head is drawn from torch's global generator. A variant that its configuration names
    is not put in place: whoever loads decides.

    Args:
        folder: As `save_pretrained` writes it, weights as safetensors.
        classes: c.

    Raises:
        BadInput: transformers is missing, there are no weights as safetensors, or the model needs a decoder's input.
    """
    import torch

    transformers = _transformers()
    local = {"local_files_only": True, "trust_remote_code": False}
    with quiet(), _readable(folder, "a pretrained Transformer with weights as safetensors"):
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        headed = any("ForSequenceClassification" in name for name in config.architectures or ())
        if config.is_encoder_decoder and not headed:
            raise BadInput("model.from", "an encoder or a decoder", f"the encoder–decoder {type(config).__name__}")
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
        expected = "the package transformers (pip install 'crossnorm[hf]') for a pretrained model of texts"
        raise BadInput("model.from", expected, "no such package") from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's bars and its remarks on weights that are left out or drawn."""
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
    """Errors of the library, of many types, as one of ours."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput("model.from", f"{what} in {folder}", f"an error ({reason})") from None


def _identity(tokenizer: Any, max_tokens: int) -> str:
    digest = hashlib.sha256(f"{max_tokens}\n".encode())
    with tempfile.TemporaryDirectory(prefix="crossnorm-tokenizer-") as scratch:
        tokenizer.save_pretrained(scratch)
        for file in sorted(Path(scratch).iterdir()):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
