"""A Hugging Face folder that asks for code of its own is refused before anything is loaded."""

from __future__ import annotations

import json

import pytest
import torch

import crossnorm as library
from crossnorm.errors import BadInput

transformers = pytest.importorskip("transformers")

from crossnorm.adapters.hf_checkpoint import load_saved_texts, save_texts  # noqa: E402
from crossnorm.adapters.hf_text_classifier import load_text_classifier, load_text_encoder  # noqa: E402
from tests.pretrained_cases import write_bert  # noqa: E402


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert"))


def changed(plain, folder, file, **entries):
    folder.mkdir()
    for path in plain.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps(content | entries), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("file", "entries", "expected"),
    [
        ("config.json", {"attn_implementation": "org/kernel"}, "attn_implementation: expected one of eager"),
        ("config.json", {"_attn_implementation": "org/kernel@main:f"}, "_attn_implementation: expected one of eager"),
        ("config.json", {"_attn_implementation_internal": "crossnorm"}, "_internal: expected one of eager"),
        ("config.json", {"attn_implementation": {"": "sdpa", "text": "org/kernel"}}, "got org/kernel"),
        ("config.json", {"text_config": {"attn_implementation": "flash_attention_2"}}, "got flash_attention_2"),
        ("config.json", {"experts_implementation": "sonicmoe"}, "expected one of batched_mm"),
        ("config.json", {"use_kernels": True}, "no kernels from a hub"),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}, "expected one configuration, config.json"),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.4.0.json"]}, "expected one tokenizer"),
        ("config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers: expected at most 1000"),
        ("config.json", {"quantization_config": {"quant_method": "mxfp4"}}, "weights that are not quantized"),
    ],
)
def test_code_of_its_own_is_refused(plain, tmp_path, monkeypatch, file, entries, expected):
    folder = changed(plain, tmp_path / "model", file, **entries)
    for loader in ("AutoConfig", "AutoModel", "AutoTokenizer"):
        monkeypatch.setattr(getattr(transformers, loader), "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    for load in (lambda: load_text_encoder(folder), lambda: load_text_classifier(folder, 3)):
        with pytest.raises(BadInput, match=file) as error:
            load()
        assert expected in str(error.value)


@pytest.mark.parametrize("kind", ["bert", "evil"])
def test_code_in_the_folder_is_not_run(plain, tmp_path, kind):
    entries = {"auto_map": {"AutoConfig": "own.Evil", "AutoModel": "own.Evil"}, "model_type": kind}
    folder = changed(plain, tmp_path / "model", "config.json", **entries)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    if kind == "bert":  # transformers has a class for it
        assert load_text_classifier(folder, 3).head.out_features == 3
    else:
        with pytest.raises(BadInput, match="cannot load"):
            load_text_classifier(folder, 3)
    assert not (tmp_path / "ran").exists()


def test_an_adapter_for_another_model_is_refused(plain, tmp_path):
    folder = changed(plain, tmp_path / "model", "config.json")
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match="adapter_config"):
        load_text_classifier(folder, 3)


def test_what_is_built_in_is_loaded(plain, tmp_path):
    folder = changed(plain, tmp_path / "model", "config.json", attn_implementation="sdpa", use_kernels=False)
    assert load_text_classifier(folder, 3).head.out_features == 3


def test_pickled_weights_are_not_loaded(plain, tmp_path):
    folder = changed(plain, tmp_path / "model", "config.json")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="cannot load a pretrained Transformer with weights as safetensors"):
        load_text_classifier(folder, 3)


def test_the_function_that_a_fine_tuned_model_names_must_be_allowed(plain, tmp_path):
    encoder, model = load_text_encoder(plain), load_text_classifier(plain, 3)
    library.convert(model.body, "convex").alpha = 0.5
    save_texts(model, encoder, 3, tmp_path / "kept")
    assert load_saved_texts(tmp_path / "kept")[0].body is not None
    content = json.loads((tmp_path / "kept" / "config.json").read_text(encoding="utf-8"))
    content["crossnorm"]["name"] = "os:system"
    (tmp_path / "kept" / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadInput, match="--import os"):
        load_saved_texts(tmp_path / "kept")
    loaded = type(model.body).from_pretrained(tmp_path / "kept", attn_implementation="crossnorm")
    with pytest.raises(BadInput, match="config.crossnorm.name: expected a built-in variant, got os:system"):
        loaded(torch.tensor([[4, 5]]))
