from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.data.data_images import pixels

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests that only read built-in tasks."""
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test reaches the user's own cache."""
    cache = tmp_path / "default-cache"
    monkeypatch.setenv("CROSSNORM_CACHE", str(cache))
    return cache


@pytest.fixture
def class_folders(tmp_path: Path) -> Make:
    """Write train/CLASS/*.png and test/CLASS/*.png (lossless), counts by class; (height, width) = (5, 7)."""

    def make(
        train: dict[str, int] | None = None,
        test: dict[str, int] | None = None,
        *,
        size: tuple[int, int] = (5, 7),
        channels: int = 3,
        name: str = "images",
    ) -> Path:
        root = tmp_path / name
        counts = {"train": train or {"cat": 3, "ape": 2}, "test": test or {"cat": 1, "ape": 2}}
        for split, classes in counts.items():
            for label, count in classes.items():
                (root / split / label).mkdir(parents=True)
                for index in range(count):
                    image = Image.fromarray(pixels(split, label, index, size, channels))
                    image.save(root / split / label / f"{index}.png")
        return root

    return make


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[..., Path]:
    """Pack a folder into a zip file, below `top`."""

    def pack(root: Path, top: str = "") -> Path:
        path = tmp_path / f"{root.name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(root.rglob("*")):
                archive.write(file, top + file.relative_to(root).as_posix())
        return path

    return pack
