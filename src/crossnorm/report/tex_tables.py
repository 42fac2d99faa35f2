r"""answer.tex: the arms and contrasts of a verdict as a LaTeX table (booktabs), and its methods in a sentence."""

from __future__ import annotations

from crossnorm.report.formatting import NONE, contrast_name, count, dose, endpoint_name, interval, number
from crossnorm.stats import ArmResult, Contrast, Verdict, brief

__all__ = ["escaped", "tex_table"]

_HEADER = "% Needs \\usepackage{booktabs}. The numbers are those of verdict.json.\n"
_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "\n": " ",
        "−": "$-$",
        "–": "--",
        "…": r"\ldots{}",
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "α": r"$\alpha$",
        "τ": r"$\tau$",
        "·": r"$\cdot$",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)
_KINDS = {
    "bonferroni-t": "Student-$t$ intervals",
    "sequential": "confidence sequences, which are valid at every interim look,",
}


def tex_table(verdict: Verdict) -> str:
    """The table environment with caption and label, then the methods."""
    alphas = any(row.alpha for row in verdict.arms[1:])
    head = ["Arm", *([escaped(verdict.dose_name)] if alphas else []), "$n$", "Mean", "Difference"]
    head += [f"{_percent(verdict)} interval", "Verdict"]
    rows = [_line(_cells(row, alphas)) for row in verdict.arms]
    if verdict.contrasts:
        title = "Between arms" if any(row.declared for row in verdict.contrasts) else "Arm $-$ control"
        rows += [r"\midrule", f"\\multicolumn{{{len(head)}}}{{l}}{{\\emph{{{title}}}}} \\\\"]
        rows += [_line(_cells(row, alphas)) for row in verdict.contrasts]
    side = f"{verdict.direction} is better"
    lines = [
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{escaped(f'{verdict.study}: {endpoint_name(verdict)}, {side}. {_answer(verdict)}')}}}",
        f"\\label{{tab:{_label(verdict.study)}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 2)}l}}",
        r"\toprule",
        _line(head),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return _HEADER + "\n".join(lines) + "\n\n" + _methods(verdict) + "\n"


def escaped(text: str) -> str:
    """Text for LaTeX: special characters escaped, symbols as math."""
    return text.translate(_SPECIAL)


def _line(cells: list[str]) -> str:
    r"""A line of the table; a bracket or star at its beginning would belong to the ``\\\\`` of the line before."""
    text = " & ".join(cells)
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def _cells(row: ArmResult | Contrast, alphas: bool) -> list[str]:
    name = row.arm if isinstance(row, ArmResult) else f"{row.arm} − {row.against}"
    mean = number(row.mean, digits=4) if isinstance(row, ArmResult) else ""
    texts = [name, *([dose(row.alpha)] if alphas else []), str(row.n), mean, number(row.difference, sign=True)]
    texts += [interval(row.low, row.high), row.verdict or NONE]
    return [escaped(text) for text in texts]


def _answer(verdict: Verdict) -> str:
    answer = verdict.answer
    if answer.estimate is None:
        return "No single comparison was declared."
    unit = f" per unit of {verdict.answer.unit}" if verdict.answer.unit else ""
    bounds = f" {interval(answer.low, answer.high)}" if answer.low is not None else ""
    estimate = f"{number(answer.estimate, sign=True)}{unit}{bounds}"
    return f"Answer, {contrast_name(answer.contrast)}: {estimate}, {answer.verdict}."


def _methods(verdict: Verdict) -> str:
    """One sentence: pairs, intervals, family, margin and scope."""
    sizes = ((len(verdict.arms) - 1, "arm"), (len(verdict.contrasts), "contrast"))
    family = " and ".join(count(size, noun) for size, noun in sizes if size) or "no comparison"
    margin = "no margin was declared"
    if verdict.margin is not None:
        margin = f"differences within {escaped(f'±{brief(verdict.margin, 3)}')} count as the same"
    trend = ", the answer has its own error level" if verdict.answer.estimate is not None else ""
    scope = f" ({escaped(verdict.scope)})" if verdict.scope else ""
    return (
        f"Runs were paired by seed ($n = {verdict.n_pairs}$ pairs); {_percent(verdict)} {_KINDS[verdict.interval]} of "
        f"within-pair differences are simultaneous over {family} (Bonferroni){trend}, and {margin}; all results hold "
        f"for these seeds and this training and test set{scope}."
    )


def _percent(verdict: Verdict) -> str:
    return f"{100 * verdict.confidence:.10g}\\,\\%"


def _label(study: str) -> str:
    """The study's name with letters, digits and hyphens only."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in study)
