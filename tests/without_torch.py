"""`python -m tests.without_torch ARGUMENTS`: the command line as if the extra ``torch`` were not installed."""

import sys
from importlib.abc import MetaPathFinder

from crossnorm._lazy import TORCH_EXTRA


class Missing(MetaPathFinder):
    """Finds no library of the extra."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in TORCH_EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())

if __name__ == "__main__":
    from crossnorm.cli import main

    main()
