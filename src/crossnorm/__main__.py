"""``python -m crossnorm``: the command line."""

import os
import sys

# Python has put the working directory first on its path, where any file would replace a library of the same name.
if not getattr(sys.flags, "safe_path", False) and (not sys.path[0] or sys.path[0] == os.getcwd()):  # noqa: PTH109
    del sys.path[0]

from crossnorm.cli import main

main()
