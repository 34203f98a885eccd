"""What the deployments of one environment come to: changes, failures, recoveries, lead times (METRICS: "DORA")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from pipemon.analytics.sheets import CHANGE, COUNTED, NEVER_STARTED, NOTHING, REASONS, SECONDS, WHYS, Sheet
from pipemon.domain.deployments import KINDS

Numbers = npt.NDArray[Any]
# By their places here as in WHYS; the first: it ended so itself.
SAID = ("ended_in_failure", *WHYS[1:])
FAILURE = np.dtype([
    ("id", "<i8"), ("sha", "S7"), ("failed_at", "<i8"), ("why", "u1"), ("by", "<i8"), ("recovered_by", "<i8"),
    ("recovered_at", "<i8"),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """A deployment that failed, why that is said, by which later deployment, and which one mended it.

    `sha` is how its commit's begins.
    """

    deployment_id: int
    sha: str
    failed_at: int
    why: str
    by: int | None = None
    recovered_by: int | None = None
    recovered_at: int | None = None

    @property
    def seconds(self) -> int | None:
        """How long it lasted; None while it is not mended."""
        return None if self.recovered_at is None else max(0, self.recovered_at - self.failed_at)


class Failures(Sequence[Failure]):
    """Failures in the order of their deployments. There may be thousands, and few are looked at: each is made then."""

    def __init__(self, rows: Numbers | None = None) -> None:
        self._rows: Numbers = np.empty(0, FAILURE) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Failure: ...
    @overload
    def __getitem__(self, place: slice) -> "Failures": ...
    def __getitem__(self, place: int | slice) -> "Failure | Failures":
        if isinstance(place, slice):
            return Failures(self._rows[place])
        key, sha, failed_at, why, by, recovered_by, recovered_at = self._rows[place].item()
        mended = (None, None) if recovered_at == NOTHING else (recovered_by, recovered_at)
        return Failure(key, sha.decode(), failed_at, SAID[why], None if by == NOTHING else by, *mended)

    def newest(self, most: int) -> "Failures":
        """Return those that failed last, newest first."""
        return Failures(self._rows[np.argsort(-self._rows["failed_at"], kind="stable")[:most]])

    @property
    def seconds(self) -> Numbers:
        """How long those lasted that are mended."""
        mended = self._rows[self._rows["recovered_at"] != NOTHING]
        lasted: Numbers = np.maximum(0, mended["recovered_at"] - mended["failed_at"])
        return lasted


@dataclass(frozen=True, slots=True)
class Facts:
    """What one environment's deployments in [from_at, to_at) come to. `lead` has the seconds of each commit.

    `failed` are those of the `changes`; `recovered` ended in the window, `unrecovered` began in it and have not ended.
    """

    deployed: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    changes: int = 0
    failed: Failures = field(default_factory=Failures)
    recovered: Failures = field(default_factory=Failures)
    unrecovered: Failures = field(default_factory=Failures)
    lead: Numbers = field(default_factory=lambda: np.empty(0, SECONDS))
    kinds: Mapping[str, int] = field(default_factory=dict)
    no_lead: Mapping[str, int] = field(default_factory=dict)
    not_counted: Mapping[str, int] = field(default_factory=dict)


def facts(sheet: Sheet, from_at: int, to_at: int) -> Facts:
    """Return the facts of one environment's window; what finished at its end or later is not known to them."""
    at = np.ascontiguousarray(sheet.rows["at"])
    begin, end = np.searchsorted(at, (from_at, to_at)).tolist()
    if not end:
        return Facts()
    known, window = sheet.rows[:end], sheet.between(begin, end)
    inside = window.rows
    places, found = _failures(known, at[:end], to_at)
    of_change = (places >= begin) & (known["counted"][places] == CHANGE)
    open_, ended_at = found["recovered_at"] == NOTHING, found["recovered_at"]
    counted = _count(inside["counted"], COUNTED)
    return Facts(
        deployed=at[begin:end][inside["deployed"]],
        changes=counted.pop("change", 0),
        failed=Failures(found[of_change]),
        recovered=Failures(found[~open_ & (ended_at >= from_at)]),
        unrecovered=Failures(found[open_ & (found["failed_at"] >= from_at)]),
        lead=window.leads,
        kinds=_count(inside["kind"][inside["counted"] != NEVER_STARTED], KINDS),
        no_lead=_count(inside["no_lead"][inside["no_lead"] > 0], REASONS),
        not_counted=counted,
    )


def _count(places: Numbers, words: Sequence[str]) -> dict[str, int]:
    """Return how often each word occurs that does."""
    counts = np.bincount(places, minlength=len(words)).tolist()
    return {word: count for word, count in zip(words, counts, strict=True) if count}


def _failures(rows: Numbers, at: Numbers, to_at: int) -> tuple[Numbers, Numbers]:
    """Return the places of the deployments that failed, once each, and what is told of them; a change's first try."""
    bad = rows["bad"] & (rows["failed_at"] < to_at)
    marks = _marks(rows)
    fell = np.flatnonzero(bad & ~rows["retry"] & (rows["counted"] != NEVER_STARTED))
    more = _marked(rows, marks, set(fell.tolist()) if marks else set())
    places = np.concatenate((fell, np.fromiter((place for place, *_ in more), np.int64, len(more))))
    found = np.empty(len(places), FAILURE)
    found["id"], found["sha"], found["failed_at"] = (rows[name][places] for name in ("id", "sha", "failed_at"))
    found["why"], found["by"] = 0, NOTHING
    since = places.copy()
    for number, (place, failed_at, why, by) in enumerate(more, start=len(fell)):
        found[number] = (rows["id"][place], rows["sha"][place], failed_at, why, rows["id"][by], NOTHING, NOTHING)
        since[number] = by
    is_healthy = rows["deployed"] & ~bad
    is_healthy[list(marks)] = False
    healthy = np.flatnonzero(is_healthy)
    # The first one from the one on that shows the failure, where there is one.
    nth = np.searchsorted(healthy, np.maximum(since, np.searchsorted(at, found["failed_at"])))
    mended = nth < len(healthy)
    mender = healthy[nth[mended]]
    found["recovered_by"], found["recovered_at"] = NOTHING, NOTHING
    found["recovered_by"][mended], found["recovered_at"][mended] = rows["id"][mender], at[mender]
    order = np.argsort(places, kind="stable")
    return places[order], found[order]


def _marks(rows: Numbers) -> dict[int, tuple[int, int]]:
    """Return the places of those that a later one marks as failed: why, and that one's place, the first that does."""
    marking = np.flatnonzero(rows["marks"] != NOTHING)
    if not len(marking):
        return {}
    blamed = np.flatnonzero(np.isin(rows["id"], rows["marks"][marking]) & (rows["counted"] != NEVER_STARTED))
    place_of = dict(zip(rows["id"][blamed].tolist(), blamed.tolist(), strict=True))
    found: dict[int, tuple[int, int]] = {}
    told = (rows[name][marking].tolist() for name in ("marks", "why"))
    for by, key, why in zip(marking.tolist(), *told, strict=True):
        if key in place_of:
            found.setdefault(place_of[key], (why, by))
    return found


def _marked(rows: Numbers, marks: Mapping[int, tuple[int, int]], taken: set[int]) -> list[tuple[int, int, int, int]]:
    """Return, of what is marked, the place of its change, when that failed, why, and the place of the one that says so.

    A change fails once: what is among `taken` has already.
    """
    found = []
    for place, (why, by) in marks.items():
        leader = _leader(rows, place)
        if rows["deployed"][place] and leader not in taken:
            taken.add(leader)
            at = rows["at"][leader if rows["deployed"][leader] else place]
            found.append((leader, int(at), why, by))
    return found


def _leader(rows: Numbers, place: int) -> int:
    """Return the place of the change deployment that first brought its commit; its own where there is none."""
    if rows["counted"][place] == CHANGE:
        return place
    before = rows[: place + 1]
    same = np.flatnonzero((before["commit"] == rows["commit"][place]) & (before["counted"] == CHANGE))
    return int(same[-1]) if len(same) else place
