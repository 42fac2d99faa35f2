"""The gallery page: figures with captions in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossnorm.io import atomic_path
from crossnorm.report.html.report_page import environment, static_files

__all__ = ["Exhibit", "write_gallery"]


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """An image file with its heading, paragraphs of its caption, and alternative text."""

    file: Path
    title: str
    caption: tuple[str, ...]
    alt: str


def write_gallery(path: Path, title: str, lead: Sequence[str], exhibits: Sequence[Exhibit]) -> None:
    """Write a page with all images embedded."""
    shown = [(exhibit, base64.b64encode(exhibit.file.read_bytes()).decode()) for exhibit in exhibits]
    html = (
        environment()
        .get_template("gallery.html")
        .render(title=title, lead=lead, exhibits=shown, static=static_files("report.css"))
    )
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
