"""Files of models that commands read: checkpoints of crossnorm, and folders of Hugging Face models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from benchmarks.attack.arena import Arena, Trial
from benchmarks.attack.input_files import plan
from benchmarks.attack.studies import write_base, write_texts

PROBE = "task: digits\ntrain_examples: 67\n"


def trials() -> Iterator[Trial]:
    yield from checkpoints()
    yield from hugging_face()


def checkpoints() -> Iterator[Trial]:
    """Files of weights for ``eval``, ``model: {from: …}``, ``finetune --from`` and ``train --weights``."""
    for name, change in CHECKPOINTS.items():

        def act(arena: Arena, change=change) -> None:
            write_base(arena.work)
            path = arena.work / "base.safetensors"
            path.write_bytes(change(path.read_bytes()))
            arena.run("eval", "base.safetensors", "--task", "digits", "--out", "out")
            plan(arena, PROBE + "model: {from: base.safetensors}\n")
            own = ("--model", "cvt_2_4_32", "--set", "model.embedding_dim=16", "--weights", "base.safetensors")
            arena.run("train", "--task", "digits", "--train-examples", "67", "--epochs", "1", "--out", "out", *own)

        yield Trial(f"checkpoint: {name}", act)
    pickles = {
        "a pickle named .safetensors": "base.safetensors",
        "a pickle": "model.bin",
        "a pickle named .pt": "model.pt",
    }
    for name, file in pickles.items():

        def pickled(arena: Arena, file=file) -> None:
            (arena.work / file).write_bytes(harmful_pickle(arena))
            arena.run("eval", file, "--task", "digits", "--out", "out")
            plan(arena, PROBE + f"model: {{from: {file}}}\n")

        yield Trial(f"checkpoint: {name}", pickled)


def harmful_pickle(arena: Arena) -> bytes:
    """A pickle that leaves a mark when it is loaded."""
    return f"cos\nsystem\n(S'touch {arena.marks}/pickle'\ntR.".encode()


def described(content: bytes, **changes: object) -> bytes:
    """The file with changes of its description."""

    def change(header: dict) -> None:
        known = json.loads(header["__metadata__"]["crossnorm"])
        for path, value in changes.items():
            outer, _, inner = path.partition("__")
            if inner:
                known[outer][inner] = value
            else:
                known[outer] = value
        header["__metadata__"]["crossnorm"] = json.dumps(known)

    return edited(content, change)


def edited(content: bytes, change: Callable[[dict], object]) -> bytes:
    """The file with changes of its header."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[start:]


def first_tensor(header: dict) -> dict:
    return next(value for name, value in sorted(header.items()) if name != "__metadata__")


CHECKPOINTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-50],
    "only the length": lambda content: content[:8],
    "a length of 2^63": lambda content: (1 << 63).to_bytes(8, "little") + content[8:],
    "random": lambda content: bytes(range(256)) * 9,
    "nan everywhere": lambda content: (
        content[: 8 + int.from_bytes(content[:8], "little")]
        + b"\xff" * (len(content) - 8 - int.from_bytes(content[:8], "little"))
    ),
    "no description": lambda content: edited(content, lambda header: header.pop("__metadata__")),
    "deep metadata": lambda content: edited(
        content, lambda header: header["__metadata__"].update(crossnorm="[" * 100_000)
    ),
    "description null": lambda content: edited(content, lambda header: header["__metadata__"].update(crossnorm="null")),
    "description list": lambda content: edited(content, lambda header: header["__metadata__"].update(crossnorm="[]")),
    "format text": lambda content: described(content, format="one"),
    "format 2": lambda content: described(content, format=2),
    "kind unknown": lambda content: described(content, kind="video"),
    "kind list": lambda content: described(content, kind=["image"]),
    "config null": lambda content: described(content, config=None),
    "surplus field": lambda content: described(content, config__surplus=1),
    "embedding_dim 10^12": lambda content: described(content, config__embedding_dim=10**12),
    "embedding_dim text": lambda content: described(content, config__embedding_dim="sixteen"),
    "embedding_dim nan": lambda content: described(content, config__embedding_dim=float("nan")),
    "num_layers 10^9": lambda content: described(content, config__num_layers=10**9),
    "num_layers -1": lambda content: described(content, config__num_layers=-1),
    "img_size 10^6": lambda content: described(content, config__img_size=[10**6, 10**6]),
    "num_classes 10^10": lambda content: described(content, config__num_classes=10**10),
    "dropout 2": lambda content: described(content, config__dropout=2),
    "variant os:system": lambda content: described(content, variant={"name": "os:system"}),
    "variant of a module": lambda content: described(content, variant={"name": "evil:train", "alpha": 1.0}),
    "variant list": lambda content: described(content, variant=[1]),
    "alpha of no site": lambda content: described(content, alpha={"nothing": 1.0}),
    "alpha text": lambda content: described(content, variant={"name": "convex"}, alpha={"x": "one"}),
    "alpha null": lambda content: described(content, alpha=None),
    "a tensor of int64": lambda content: edited(content, lambda header: first_tensor(header).update(dtype="I64")),
    "a dtype unknown": lambda content: edited(content, lambda header: first_tensor(header).update(dtype="F99")),
    "a shape that does not fit": lambda content: edited(content, lambda header: first_tensor(header).update(shape=[7])),
    "a tensor missing": lambda content: edited(content, lambda header: header.pop(sorted(header)[1])),
}


def hugging_face() -> Iterator[Trial]:
    """Folders of Hugging Face models."""
    from importlib.util import find_spec

    if find_spec("transformers") is None:
        return
    for name, change in FOLDERS.items():

        def act(arena: Arena, change=change) -> None:
            write_texts(arena.work)
            change(arena)
            plan(arena, "task: trec\ndata: questions\nmodel: {from: bert}\n")

        yield Trial(f"Hugging Face: {name}", act)


def configured(file: str = "config.json", **changes: object) -> Callable[[Arena], None]:
    def change(arena: Arena) -> None:
        path = arena.work / "bert" / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def with_code(arena: Arena) -> None:
    path = arena.work / "bert" / "evil.py"
    path.write_text(f"open({str(arena.marks / 'remote')!r}, 'w')\nclass Evil: pass\n")
    for file in ("config.json", "tokenizer_config.json"):
        classes = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoTokenizer")
        configured(file, auto_map=dict.fromkeys(classes, "evil.Evil"), model_type="evil")(arena)


def pickle_only(arena: Arena) -> None:
    (arena.work / "bert" / "model.safetensors").unlink()
    (arena.work / "bert" / "pytorch_model.bin").write_bytes(harmful_pickle(arena))


def truncated(name: str) -> Callable[[Arena], None]:
    def change(arena: Arena) -> None:
        path = arena.work / "bert" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def removed(name: str) -> Callable[[Arena], None]:
    return lambda arena: (arena.work / "bert" / name).unlink()


FOLDERS: dict[str, Callable[[Arena], None]] = {
    "code in auto_map": with_code,
    "attention of a hub": configured(attn_implementation="kernels-community/flash-attn"),
    "attention of a hub, private": configured(_attn_implementation="kernels-community/flash-attn"),
    "attention unknown": configured(attn_implementation="nonsense"),
    "model_max_length text": configured("tokenizer_config.json", model_max_length="nineteen"),
    "model_max_length huge": configured("tokenizer_config.json", model_max_length=10**30),
    "model_max_length negative": configured("tokenizer_config.json", model_max_length=-1),
    "tokenizer of a module": configured("tokenizer_config.json", tokenizer_class="os.system"),
    "only a pickle": pickle_only,
    "model_type unknown": configured(model_type="nonsense"),
    "model_type list": configured(model_type=["bert"]),
    "hidden_size 10^12": configured(hidden_size=10**12),
    "hidden_size text": configured(hidden_size="twelve"),
    "hidden_size does not fit": configured(hidden_size=24),
    "num_hidden_layers 10^9": configured(num_hidden_layers=10**9),
    "vocab_size 3": configured(vocab_size=3),
    "num_attention_heads 0": configured(num_attention_heads=0),
    "architectures of another": configured(architectures=["GPT2LMHeadModel"]),
    "dtype unknown": configured(torch_dtype="float99", dtype="float99"),
    "quantized": configured(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "weights truncated": truncated("model.safetensors"),
    "config truncated": truncated("config.json"),
    "tokenizer truncated": truncated("tokenizer.json"),
    "no tokenizer": removed("tokenizer.json"),
    "no config": removed("config.json"),
    "no weights": removed("model.safetensors"),
}
