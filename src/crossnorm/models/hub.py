"""Models on the Hugging Face hub, through its own mixin (extra ``hf``).

    HubModel(model).push_to_hub("someone/cct-convex")
    model = HubModel.from_pretrained("someone/cct-convex").model

Knows the hub's mixin and nothing of its network; the file is the one of `crossnorm.models.save_model`. Import this
module by name: nothing else in the package does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from huggingface_hub import ModelHubMixin, hf_hub_download  # type: ignore[import-not-found,unused-ignore]
except ImportError as error:
    raise ImportError("crossnorm.models.hub needs huggingface_hub: pip install 'crossnorm[hf]'") from error

from crossnorm.models.compact_transformers import Model
from crossnorm.models.serialization import load_model, save_model

__all__ = ["HubModel"]

FILE = "model.safetensors"


class HubModel(ModelHubMixin, library_name="crossnorm"):  # type: ignore[misc,call-arg,unused-ignore]
    """A model with the hub's methods: ``save_pretrained``, ``push_to_hub``, ``from_pretrained``.

    Attributes:
        model: The model itself, its variant and doses included.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self.model, save_directory / FILE)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **settings: Any) -> HubModel:
        """The hook that ``from_pretrained`` calls with the repository or folder and its download settings."""
        folder = Path(model_id)
        if folder.is_dir():
            return cls(load_model(folder / FILE))
        names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        wanted = {name: settings[name] for name in names if name in settings}
        path = hf_hub_download(model_id, FILE, **wanted)
        return cls(load_model(path))
