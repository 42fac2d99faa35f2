"""Where the repository lies, for the tests that read its other folders."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (ROOT / ".ci").is_dir()  # the sdist carries neither results/ nor benchmarks/
