"""Everyday tasks: `nox -s test`, `lint`, `types`, `core`, `docs`, `slow`, `coverage`, `bench`; `nox -l` lists them."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "test"]


@nox.session
def test(session: nox.Session) -> None:
    """The README's test command."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests marked slow, with every optional library."""
    session.install("-e", ".[test,browser,docs,hf,lightning,timm,ray,track]")
    session.run("pytest", "-n", "auto", "-m", "slow", *session.posargs)


@nox.session
def core(session: nox.Session) -> None:
    """Reports, comparisons and lists, installed without torch."""
    session.install(".")
    session.run("python", ".ci/light_core.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, formatting included."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    session.install("-e", ".[test]")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site; warnings are errors."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "docs.generate")
    session.run("mkdocs", "build", "--strict")


@nox.session
def coverage(session: nox.Session) -> None:
    """The test command with a coverage report."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", "--cov=crossnorm", "--cov-report=term-missing:skip-covered", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Images per second and overhead of the variants on this machine."""
    session.install("-e", ".[torch]")
    session.run("crossnorm", "bench", *session.posargs)
