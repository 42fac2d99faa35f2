"""Locating a pretrained model: a crossnorm file, a folder, an installed package, or a name on the Hugging Face hub."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.io import file_sha256

__all__ = ["digest_of", "is_own", "kept_model", "locate"]

_PACKAGE = "package:"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
# Safetensors weights, configuration and tokenizer; pickled weights are never downloaded.
_FETCHED = ("*.safetensors", "*.json", "*.txt", "*.model")
_KINDS = "a .safetensors file of crossnorm, a Hugging Face folder, package:NAME/FOLDER, or a name on the hub"


def locate(source: object) -> Path:
    """The file or folder of a pretrained model.

    Args:
        source: A ``.safetensors`` file that `crossnorm train` wrote; a folder as `save_pretrained` writes it;
            ``package:NAME/FOLDER``, a folder inside an installed package; or a name on the Hugging Face hub, which is
            downloaded once into the hub's cache.

    Raises:
        BadInput: None of these, a file or package that does not exist, or a name that cannot be downloaded.
    """
    if not isinstance(source, str) or not source.strip():
        raise BadInput("model.from", _KINDS, source)
    if source.startswith(_PACKAGE):
        return _in_package(source)
    path = Path(source).expanduser()
    if path.is_dir():
        path = kept_model(path)
        return path if path.is_file() else _with_config(path, source)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise BadInput.because("model.from", f"no file {source}", "crossnorm train writes one.")
        return path
    if path.exists():
        raise BadInput("model.from", _KINDS, f"the file {source}", "Pickled weights are not read.")
    if not _HUB_NAME.fullmatch(source):
        raise BadInput("model.from", _KINDS, f"no such folder: {source}")
    return _with_config(_fetched(source), source)


def kept_model(path: Path) -> Path:
    """The model that a folder keeps: of a run, or of a study with one kept model. Other paths are returned as they are.

    A kept model is the file ``model.safetensors``, or the folder ``model`` of a fine-tuned Transformer.

    Raises:
        BadInput: The folder of a study that keeps no model, or several.
    """
    if not path.is_dir() or (path / "config.json").is_file():
        return path
    found = _kept(path)
    if len(found) == 1:
        return found[0]
    if not found:
        if not (path / "study.yaml").is_file():
            return path
        hint = "Only studies with keep_models: true, and those of crossnorm train, keep models."
        raise BadInput.because(str(path), "no run of this study keeps its model", hint)
    several = ", ".join(str(kept.parent) for kept in found[:3])
    raise BadInput.because(str(path), f"{len(found)} runs keep a model", f"Give the folder of one run: {several} …")


def is_own(source: str) -> bool:
    """Whether a pretrained model is one of crossnorm: a ``.safetensors`` file, or a run or study that keeps one."""
    return source.endswith(".safetensors") or any(kept.suffix == ".safetensors" for kept in _kept(Path(source)))


def _kept(folder: Path) -> list[Path]:
    """The models that a folder keeps, of a run or of the runs of a study."""
    places = (
        run / name for run in (folder, *sorted(folder.glob("runs/*/*"))) for name in ("model.safetensors", "model")
    )
    return [place for place in places if place.exists()]


def _with_config(path: Path, source: str) -> Path:
    if not (path / "config.json").is_file():
        raise BadInput("model.from", "a folder with config.json and weights", f"{source}, which has no config.json")
    return path


def _in_package(source: str) -> Path:
    name, _, inside = source.removeprefix(_PACKAGE).partition("/")
    found = find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        hint = f"Try: pip install {name.replace('_', '-')}"
        raise BadInput.because("model.from", f"the package {name} is not installed", hint)
    return _with_config(Path(next(iter(found.submodule_search_locations))) / inside, source)


def _fetched(name: str) -> Path:
    """The folder of a model on the hub: from the hub's cache, else downloaded."""
    hint = "Without a connection, give a local folder."
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        reason = f"{name} is a name on the hub, which needs huggingface_hub (pip install 'crossnorm[hf]')"
        raise BadInput.because("model.from", reason, hint) from None
    try:
        cached = Path(snapshot_download(name, allow_patterns=list(_FETCHED), local_files_only=True))
        if any(cached.glob("*.safetensors")):
            return cached
    except Exception:  # not in the cache
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FETCHED)))
    except Exception as error:  # the client raises errors of several libraries
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise BadInput.because("model.from", f"cannot download {name} from the hub: {reason}", hint) from None


def digest_of(path: Path) -> str:
    """SHA-256 of a model's file, or of its folder's configuration and weights."""
    files = [path] if path.is_file() else [path / "config.json", *sorted(path.glob("*.safetensors"))]
    return _digest(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=8)  # every arm needs it
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    return file_sha256(*(Path(name) for name, _, _ in files))
