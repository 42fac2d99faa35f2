"""A small random BERT with a WordPiece tokenizer of its own, and questions for it, as files."""

from __future__ import annotations

from pathlib import Path

import torch

WORDS = (
    "who",
    "what",
    "where",
    "when",
    "is",
    "the",
    "king",
    "of",
    "spain",
    "made",
    "##s",
    "##ing",
    "moon",
    "?",
    "many",
)
LABELS = ("HUM:ind", "DESC:def", "LOC:city", "NUM:date", "ENTY:food", "ABBR:exp")


def write_bert(folder: Path, *, layers: int = 2, seed: int = 3, architectures: list[str] | None = None) -> Path:
    """A BERT of width 12 with 3 heads, saved as transformers saves it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    vocabulary = {word: index for index, word in enumerate((*special, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=19, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=12,
        num_hidden_layers=layers,
        num_attention_heads=3,
        intermediate_size=17,
        max_position_embeddings=23,
        num_labels=6,
        pad_token_id=0,
    )
    kind = BertForSequenceClassification if architectures else BertModel
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    return folder


def write_questions(folder: Path, *, train: int = 67, test: int = 31) -> Path:
    """TREC.train and TREC.test, in their own format."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, shift in (("TREC.train", train, 0), ("TREC.test", test, 1)):
        lines = [_question(index + shift) for index in range(count)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


def _question(index: int) -> str:
    words = [WORDS[(index * step + step) % len(WORDS)].removeprefix("##") for step in range(1, 3 + index % 7)]
    return f"{LABELS[index % 6]} {' '.join(words)} ?"
