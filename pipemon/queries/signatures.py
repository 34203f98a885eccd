"""Why the jobs of a window failed, grouped by signature."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import NOTHING, Array, count, dense, number, sum_up
from pipemon.queries.columns import END
from pipemon.queries.failures import Seen
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Rows
from pipemon.queries.scope import Scope
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.among import among
from pipemon.store.schema_failures import failures

MOST_SIGNATURES = 100
MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Names:
    """Where failures of one reason were met: the first few of each, in the order of the alphabet."""

    repositories: tuple[str, ...]
    workflows: tuple[str, ...]
    branches: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The jobs of a window that failed for one reason."""

    signature: str
    title: str | None
    platform: bool
    failures: int
    builds: int
    names: Names
    latest_build_id: int
    seen: Seen
    scope: Scope


@dataclass(frozen=True, slots=True)
class Signatures:
    """The failed jobs of a window by reason, the most frequent first."""

    basis: Basis
    groups: tuple[Group, ...]
    total_failures: int
    as_of: AsOf


def signatures(db: Source, window: Window, limit: int = MOST_SIGNATURES) -> Signatures:
    """Return why the jobs of the window's runs failed, grouped by signature."""
    db = Look.at(db)
    scope = window.scope
    found = over(db, "failures", scope, _grouped, limit)
    titles = _titles(db, [one.latest for one in found.groups])
    every = Scope(scope.repositories, exclude_workflows=scope.exclude_workflows)
    known = over(db, "failures", every, _seen_before, tuple(one.code for one in found.groups))
    groups = []
    for one in found.groups:
        title, run_id = titles[one.latest]
        names = (
            [scope.repositories[key] for key in one.repositories],
            [db.workflows[key][1] for key in one.workflows if key in db.workflows],
            [name for name in one.branches if name is not None],
            [name for name in one.jobs if name is not None],
        )
        where_met = Names(*(tuple(sorted(set(each))[:MOST_NAMES]) for each in names))
        own = replace(scope, signature=one.signature)
        platform, seen = one.platform, known[one.code]
        groups.append(Group(one.signature, title, platform, one.n, one.builds, where_met, run_id, seen, own))
    return Signatures(_basis(db, window, found.signed, found.unsigned), tuple(groups), found.signed, window.as_of)


@dataclass(frozen=True, slots=True)
class _Group:
    code: int
    signature: str
    n: int
    builds: int
    latest: int
    platform: bool
    repositories: list[int]
    workflows: list[int]
    branches: list[str | None]
    jobs: list[str | None]


@dataclass(frozen=True, slots=True)
class _Grouped:
    groups: list[_Group]
    signed: int
    unsigned: Mapping[str, int]


# What a part tells of each signature; the pairs of it and a word are told apart by column.
N, BUILDS, PLATFORM, LATEST, FIRST, LAST = range(6)
MET_IN = ("repository_id", "workflow_id", "branch", "name")
TEXTS = ("branch", "name")


def _grouped(rows: Rows, limit: int) -> _Grouped:
    """Return the signatures with the most failed jobs, and how many jobs have none, by reason."""
    numbers = _numbers(rows, only_over=True)
    n, words = numbers[N], rows.words["signature"].values
    order = sorted(np.flatnonzero(n).tolist(), key=lambda code: (-n[code], words[code]))[:limit]
    met = [_met_in(rows, column, order) for column in MET_IN]
    groups = []
    for place, code in enumerate(order):
        failed, builds, latest = numbers[[N, BUILDS, LATEST], code].tolist()
        platform = bool(numbers[PLATFORM, code])
        groups.append(_Group(code, words[code], failed, builds, latest, platform, *(one[place] for one in met)))
    unsigned: dict[str, int] = {}
    states = sum_up([part.kept(_unsigned) for part in rows.parts], len(rows.words["state"].values))
    for state in np.flatnonzero(states).tolist():
        word = rows.word("state", state)
        unsigned["silent" if word == "read" else word] = int(states[state])
    return _Grouped(groups, int(n.sum()), unsigned)


def _unsigned(part: Rows) -> Array:
    return count(part["state"], 1, (part["completed"] == 1) & ~part.known("signature"))


def _numbers(rows: Rows, *, only_over: bool) -> Array:
    """Return N to LAST of each signature, by its code."""
    found = np.zeros((6, len(rows.words["signature"].values)), "i8")
    found[FIRST] = END
    for part in rows.parts:
        codes, own = part.kept(_of_part, only_over)
        found[:LATEST, codes] += own[:LATEST]
        found[FIRST, codes] = np.minimum(found[FIRST, codes], own[FIRST])
        for name in (LATEST, LAST):
            found[name, codes] = np.maximum(found[name, codes], own[name])
    return found


def _of_part(part: Rows, only_over: bool) -> tuple[Array, Array]:
    known = part.known("signature")
    signed = part.where(known & (part["completed"] == 1) if only_over else known)
    key, codes = dense(signed["signature"])
    order = np.lexsort((signed["id"], key))
    key, run, at = key[order], signed["id"][order], signed["failed_at"][order]
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(begins):
        return codes, np.empty((6, 0), "i8")
    is_new = np.diff(run, prepend=-1) != 0
    is_new[begins] = True
    counts = (np.diff(begins, append=len(key)), np.add.reduceat(is_new.astype("i8"), begins))
    platform = np.maximum.reduceat(signed["platform"][order], begins)
    most = [np.maximum.reduceat(one, begins) for one in (signed["job_id"][order], at)]
    return codes, np.stack([*counts, platform, most[0], np.minimum.reduceat(at, begins), most[1]]).astype("i8")


def _met_in(rows: Rows, column: str, codes: Sequence[int]) -> list[list[Any]]:
    """Return the words of the column that each of these signatures was met with."""
    pairs = [piece.kept(_pairs, column) for piece in rows.pieces]
    signature, word = (np.concatenate([one[place] for one in pairs] or [NOTHING]) for place in (0, 1))
    order = np.argsort(signature, kind="stable")  # few stretches, each in order
    signature, word = signature[order], word[order]
    ends = (np.searchsorted(signature, codes, side) for side in ("left", "right"))
    found = (np.unique(word[begin:end]).tolist() for begin, end in zip(*ends, strict=True))
    return [[rows.word(column, code) for code in own] for own in found]


def _pairs(part: Rows, column: str) -> tuple[Array, Array]:
    signed = part.where((part["completed"] == 1) & part.known("signature"))
    _, (signature, word) = number([signed["signature"], signed[column]])
    return _first_few(signature, word, part.words[column].values) if column in TEXTS else (signature, word)


def _first_few(signature: Array, word: Array, words: Sequence[str | None]) -> tuple[Array, Array]:
    """Return of each signature's words the first few of the alphabet: of thousands of branches no more are told."""
    texts = sorted((text, code) for code in np.unique(word).tolist() if (text := words[code]) is not None)
    rank = np.full(len(words), -1)
    rank[[code for _, code in texts]] = np.arange(len(texts))
    is_text = rank[word] >= 0
    signature, word = signature[is_text], word[is_text]
    order = np.lexsort((rank[word], signature))
    signature, word = signature[order], word[order]
    is_first = np.arange(len(word)) - np.searchsorted(signature, signature) < MOST_NAMES
    return signature[is_first], word[is_first]


def _seen_before(rows: Rows, codes: tuple[int, ...]) -> dict[int, Seen]:
    """Return when and how often these signatures were met at all."""
    numbers = _numbers(rows, only_over=False)
    return {code: Seen(*numbers[[FIRST, LAST, N, BUILDS], code].tolist()) for code in codes}


def _titles(db: Source, job_ids: Collection[int]) -> dict[int, tuple[str | None, int]]:
    query = sa.select(failures.c.job_id, failures.c.title, failures.c.run_id)
    return {row[0]: (row[1], row[2]) for row in db.heavy(query.where(among(failures.c.job_id, sorted(job_ids))))}


def _basis(db: Source, window: Window, n: int, unsigned: Mapping[str, int]) -> Basis:
    excluded = tuple(Exclusion(reason, count) for reason, count in sorted(unsigned.items()) if count)
    return Basis(window, n, excluded, coverage(db, window))
