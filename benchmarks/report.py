"""How a figure is told: what, how much, beside what, the aim, and whether it was reached."""

from collections.abc import Sequence
from dataclasses import dataclass

VERDICTS = {True: "ok", False: "missed", None: ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `reached` None: there is no aim; `value` "not measured (why)" counts as not reached."""

    what: str
    value: str
    aim: str = ""
    reached: bool | None = None

    def line(self) -> str:
        """Return the line that is printed."""
        return f"  {self.what:<58} {self.value:>26}  {self.aim:<14} {VERDICTS[self.reached]}".rstrip()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, or its head; a note says what was missed."""

    name: str
    cells: Sequence[str]
    reached: bool | None = None
    note: str = ""

    def line(self) -> str:
        """Return the line that is printed."""
        cells = "".join(f"{cell:>17}" for cell in self.cells)
        return f"  {self.name:<25}{cells}  {VERDICTS[self.reached]:<6} {self.note}".rstrip()


def at_most(what: str, value: float, most: float, unit: str = "") -> Figure:
    """Return a figure that should not be above its aim."""
    return Figure(what, f"{value:.3g}{unit}", f"<= {most:g}{unit}", value <= most)


def at_least(what: str, value: float, least: float, unit: str = "") -> Figure:
    """Return a figure that should not be below its aim."""
    return Figure(what, f"{value:.3g}{unit}", f">= {least:g}{unit}", value >= least)


def plain(what: str, value: object) -> Figure:
    """Return a figure that has no aim."""
    return Figure(what, str(value))


def not_measured(what: str, why: str) -> Figure:
    """Return what could not be measured: it counts as not reached."""
    return Figure(what, f"not measured ({why})", "", False)
