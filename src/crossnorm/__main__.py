"""``python -m crossnorm``: the command line."""

import os
import sys

try:
    _here = os.getcwd()  # noqa: PTH109 (nothing else is imported yet)
except OSError:
    _here = ""  # it was deleted, as `main` will say
# Python has put the working directory first on its path, where any file would replace a library of the same name.
if not getattr(sys.flags, "safe_path", False) and sys.path[0] in ("", _here):
    del sys.path[0]

from crossnorm.cli import main

main()
