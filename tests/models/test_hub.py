"""The hub's mixin writes and reads our own file (a folder stands for the hub; no network)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import crossnorm.models
from crossnorm import Variant
from crossnorm.models.variant_sites import sites
from tests.models.model_cases import inputs, small


def test_a_folder_of_the_hub(tmp_path):
    pytest.importorskip("huggingface_hub")
    from crossnorm.models.hub import HubModel

    model = small("vit_2_4_32", variant=Variant(name="convex", alpha=0.25)).eval()
    HubModel(model).save_pretrained(tmp_path / "model")
    loaded = HubModel.from_pretrained(str(tmp_path / "model")).model.eval()
    assert torch.equal(loaded(inputs("vit_2_4_32")), model(inputs("vit_2_4_32")))
    assert sites(loaded) == sites(model)


def test_a_repository_that_is_not_there(tmp_path):
    pytest.importorskip("huggingface_hub")
    from crossnorm.models.hub import HubModel

    with pytest.raises(FileNotFoundError, match="local_files_only"):
        HubModel.from_pretrained("nobody/nothing", cache_dir=tmp_path, local_files_only=True)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules, "crossnorm.models.hub", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'crossnorm\[hf\]'"):
        import crossnorm.models.hub  # noqa: F401


def test_no_other_module_imports_it():
    for path in Path(crossnorm.models.__file__).parent.glob("*.py"):
        assert "crossnorm.models.hub import" not in path.read_text(encoding="utf-8"), path
