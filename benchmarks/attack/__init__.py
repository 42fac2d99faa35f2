"""A repeatable attack on an installed crossnorm, from outside: command line, files and the public Python API.

    python -m benchmarks.attack [--of kills …] [--kills 200] [--inputs 600] [--seed 0] [--out results/faults]

A family is a function that yields named trials; each trial runs in a scratch directory of its own (`arena`).
Families: `kills`, `tampering`, `inputs` (with `input_files`, `model_files`), `environments`, `page`. Linux only.
"""
