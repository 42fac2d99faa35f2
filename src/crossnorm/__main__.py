"""``python -m crossnorm``: the command line."""

from crossnorm.cli import main

main()
