"""`Result`: a table of runs with its verdict, to inspect, plot and save."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.api._lost_runs import LARGEST_TABLE, finished_in, lost_runs, unfinished_cells
from crossnorm.errors import BadInput, RunsLost
from crossnorm.io import make_folder, refuse_link, regular_file, write_atomically
from crossnorm.report import FigureStyle, curves_figure, result_html, tex_table, trend_figure, write_report
from crossnorm.stats import Bands, Table, Trend, Verdict, bands, caveats, listed
from crossnorm.stats.runs.csv_cells import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Result", "refuse_other_study", "stored_lines"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """The result of a study, or of any table of runs.

    Attributes:
        table: The runs.
        verdict: Estimates, intervals and the answer, as in verdict.json.
        facts: What the report says besides the numbers: plan, environment, failures.
        folder: The study's folder; None for a table of runs, a single run and a question that was not declared.
        lost: The finished runs of the study that do not count, with the reason: their files are damaged, belong to
            another run, or are gone.
    """

    table: Table
    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    lost: tuple[str, ...] = ()

    def curves(self, metric: str | None = None) -> Bands:
        """The mean learning curve of each arm with its band, for the verdict's metric or another."""
        verdict = self.verdict
        return bands(self.table, metric or verdict.metric, confidence=verdict.confidence, interval=verdict.interval)

    def trend(self) -> Trend:
        """The first variant's slope per unit α against the baseline."""
        return self.verdict.trend

    def plot(self, *, width: float | str = "page", font_size: float = 8.0) -> tuple[Figure, Figure]:
        """The learning curves and the trend over α, as matplotlib figures to change or save.

        Args:
            width: Inches, or "page" (7.0) or "column" (3.4).
            font_size: Text size in points.

        Raises:
            BadInput: A width or text size that leaves no room.
        """
        style = FigureStyle(width=width, font_size=font_size)
        table, verdict = self.table, self.verdict
        return (
            curves_figure(table, verdict, size=style.width, text_size=style.font_size),
            trend_figure(table, verdict, size=style.width, text_size=style.font_size),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know beside the answer, such as a baseline at chance or arms that are identical to the bit."""
        cautions = self.facts.get("cautions", ())
        return (*cautions, *caveats(self.table, self.verdict, classes=self.facts.get("classes")))

    def save(
        self, directory: Path | str, style: FigureStyle | None = None, *, tex: bool = False, partial: bool = False
    ) -> Path:
        """Write verdict.json, table.csv, report.html and the figures into a folder, and return the folder.

        Args:
            directory: Made if missing.
            style: Formats, width and text size of the figures; default PNG, page width.
            tex: Also write answer.tex, the table of arms and contrasts for LaTeX.
            partial: Write the answer of the runs that count although finished runs are lost.

        Raises:
            RunsLost: Finished runs are lost, or another command has added some meanwhile; nothing was written.
            BadInput: A style that leaves no room, a folder that cannot be written, that of a study whose declared
                answer this is not, or one whose table.csv would be overwritten by a table without runs.
        """
        directory = Path(directory)
        refuse_other_study(directory, self.folder)
        self._check_loses_nothing(directory / "table.csv")
        if self.lost and not partial:
            raise RunsLost(self._lost_message(directory))
        checked = not partial and (directory / "study.yaml").exists()
        if checked:
            self._check_is_newest(directory / "table.csv")
        if (directory.parent / "study.yaml").exists():
            refuse_link(directory)
        make_folder(directory)
        for name in ("report.html", "table.csv", "verdict.json"):
            if (directory / name).is_dir():  # before any file is replaced
                raise BadInput.because(str(directory / name), "a folder is in the way", "Remove it.")
        files = self._files(style or FigureStyle(), tex=tex)
        if checked:  # again, since drawing takes seconds
            self._check_is_newest(directory / "table.csv")
        for name, content in files.items():
            write_atomically(directory / name, content)
        return directory

    def _files(self, style: FigureStyle, *, tex: bool) -> dict[str, bytes]:
        """The content of what `save` writes, by name, in the order of writing."""
        with tempfile.TemporaryDirectory() as scratch:
            write_report(Path(scratch), table=self.table, verdict=self.verdict, facts=self.facts, style=style)
            files = {path.name: path.read_bytes() for path in sorted(Path(scratch).iterdir())}
        files |= {"table.csv": _csv(self.table).encode(), "verdict.json": self.verdict.to_json().encode()}
        return files | ({"answer.tex": tex_table(self.verdict).encode()} if tex else {})

    def _lost_message(self, directory: Path) -> str:
        kept = f"{directory / 'verdict.json'} was not changed. " if (directory / "verdict.json").exists() else ""
        return (
            f"{lost_runs(self.lost)} {kept}Train them again with the command that made the study, or write the "
            "answer without them: report --partial."
        )

    def _check_is_newest(self, stored: Path) -> None:
        """Refuse to overwrite a table with more finished runs: another command has added them meanwhile."""
        unfinished = {(arm, str(seed)) for arm, seed in unfinished_cells(self.table)}
        cells = {(arm.name, str(seed)) for arm in self.table.arms for seed in self.table.seeds}
        more = sorted(finished_in(stored) - (cells - unfinished))
        if more:
            names = listed([f"{arm}, seed {seed}" for arm, seed in more])
            raise RunsLost(
                f"{stored} has finished runs that were not there when the results were read, or are gone now: {names}. "
                "Nothing was changed. Repeat the command, or write the answer without them: report --partial."
            )

    def _check_loses_nothing(self, stored: Path) -> None:
        """Refuse to overwrite table.csv if the runs were deleted: it is all that is left of them."""
        if (self.table.status != "missing").any():
            return
        lines = stored_lines(stored)
        if lines:
            how = f"--metric {self.verdict.metric} --direction {self.verdict.direction}"
            if self.verdict.margin is not None:
                how += f" --margin {self.verdict.margin:g}"
            reason = f"the runs are missing but table.csv has {lines} rows; refusing to overwrite it"
            hint = f"To draw the table: crossnorm report --from {stored} {how} --out OTHER_FOLDER"
            raise BadInput.because(str(stored.parent), reason, hint)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, the arms, the two figures."""
        return result_html(self.table, self.verdict, self.notes)

    def __repr__(self) -> str:
        return f"Result({self.verdict.study}: {self.verdict.answer.sentence})"


def stored_lines(table: Path) -> int:
    """Lines of a stored table.csv beyond the names of its columns; 0 where there is none.

    Raises:
        BadInput: It is no regular file, or cannot be read.
    """
    if not table.exists():
        return 0
    with regular_file(table, most=LARGEST_TABLE).open("rb") as file:
        return max(0, sum(1 for _ in file) - 1)


def _csv(table: Table) -> str:
    """The records of the table; `report --from` reads them back."""
    text = io.StringIO()
    columns = ["arm", "variant", "dose", "site", "control", "seed", "status", "step", *sorted(table.metrics)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_text, columns))
    for row in table.records():
        if table.dose_name != "α":
            row["variant"] = None  # it follows from the names of the arms
        writer.writerow(_cell(row[name]) for name in columns)
    return text.getvalue()


def _cell(value: object) -> object:
    """Every digit of a number; text that no spreadsheet takes for a formula."""
    return repr(value) if isinstance(value, float) else csv_text(value) if isinstance(value, str) else value


def refuse_other_study(directory: Path, own: Path | None) -> None:
    """Check that results are not written into the folder of a study that they are not the answer of.

    Args:
        directory: Where results will be written.
        own: The folder of the study that they are the declared answer of; None: of none.

    Raises:
        BadInput: It is the folder of another study.
    """
    if (directory / "study.yaml").exists() and not (own is not None and own.exists() and own.samefile(directory)):
        reason = "the folder of a study, which keeps the declared answer of this study alone"
        raise BadInput.because(str(directory), reason, "Give another output folder.")
