"""Makes ``oracle`` and ``adapter_models`` importable from the tests of this folder, wherever pytest is started."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(folder) for folder in (HERE, HERE.parent) if str(folder) not in sys.path]
