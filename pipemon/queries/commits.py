"""Jobs on commits, whichever runs they were in: how they ended where they ran more than once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipemon.analytics.arrays import NOTHING, Array
from pipemon.queries.rows import Rows
from pipemon.queries.verdicts import BAD, GOOD, OTHER, PLATFORM

# Odd numbers, which mix: one number for commit and job, as random as the commit's, is sorted far quicker than three.
MIX = np.int64(0x9E3779B97F4A7C15 - (1 << 64))
MIX_TOO = np.int64(0xC2B2AE3D27D4EB4F - (1 << 64))


class Commits(NamedTuple):
    """Jobs (by codes) on commits: how many `rows` were no fault of the platform, the newest run that succeeded and that
    failed (0: none did), and when the newest began.
    """

    repository_id: Array
    workflow_id: Array
    name: Array
    sha: Array
    rows: Array
    good_run: Array
    bad_run: Array
    created: Array


class _Met(NamedTuple):
    """The commits of a workflow that some runs were about, in order; a run of each, and whether it is not all."""

    commits: Array
    places: Array
    are_again: Array


def again(rows: Rows) -> Commits:
    """Return the jobs of a workflow on those commits on which it, or one of its jobs, ran more than once."""
    met = [piece.kept(_met) for piece in rows.pieces]
    several = _in_several([one.commits for one in met])
    found = [piece.kept(_within) for piece in rows.pieces]
    # What ran once in one piece, and in another one too.
    found += [_of_runs(piece, _once(piece, one, several)) for piece, one in zip(rows.pieces, met, strict=True)]
    known = _joined(found)
    is_in_several = _has(several, known.sha ^ known.workflow_id * MIX)[1]
    return _joined([_where(known, ~is_in_several), _merged(_where(known, is_in_several))])


def _met(piece: Rows) -> _Met:
    runs_of = _runs_of(piece)
    known = np.flatnonzero(runs_of["sha"] != 0)
    mixed = (runs_of["sha"] ^ runs_of["workflow_id"] * MIX)[known]
    commits, first, counts = np.unique(mixed, return_index=True, return_counts=True)
    places = known[first].astype("i4")
    return _Met(commits, places, (counts > 1) | (runs_of["single"][places] == 0))


def _runs_of(piece: Rows) -> Rows:
    return piece if piece.heads is None else piece.heads


def _in_several(found: Sequence[Array]) -> Array:
    """Return what is in more than one of these arrays, each of them in order and without equals."""
    longest, *others = sorted(found, key=len, reverse=True)
    rest = np.sort(np.concatenate(others)) if others else longest[:0]
    is_in = np.diff(rest, prepend=~rest[:1]) == 0
    return np.unique(rest[is_in | _has(longest, rest)[1]])


def _has(ordered: Array, values: Array) -> tuple[Array, Array]:
    """Return where each value would be, and whether it is there."""
    places = np.searchsorted(ordered, values)
    inside = np.minimum(places, len(ordered) - 1)
    return inside, (ordered[inside] == values if len(ordered) else np.zeros(len(values), bool))


def _within(piece: Rows) -> Commits:
    met, runs_of = piece.kept(_met), _runs_of(piece)
    wanted = runs_of["sha"] != 0
    wanted[met.places[~met.are_again]] = False
    return _merged(_of_runs(piece, wanted))


def _once(piece: Rows, met: _Met, commits: Array) -> Array:
    """Return which of the piece's runs are the only ones in it about one of these commits."""
    places, are_there = _has(met.commits, commits)
    wanted = np.zeros(len(_runs_of(piece)), bool)
    places = places[are_there]
    wanted[met.places[places[~met.are_again[places]]]] = True
    return wanted


def _of_runs(piece: Rows, wanted: Array) -> Commits:
    """Return the rows of these runs that have a result; it is looked at no thirty days that hold none of them."""
    found, begin = [], 0
    for part in piece.parts:
        end = begin + len(_runs_of(part))
        if (own := wanted[begin:end]).any():
            some = part.where(own[part["head"]] & (part["outcome"] != OTHER))
            outcome, run = some["outcome"], some["id"]
            of_job = [some[name] for name in ("repository_id", "workflow_id", "name", "sha")]
            newest = [np.where(outcome == one, run, 0) for one in (GOOD, BAD)]
            found.append(Commits._make([*of_job, (outcome != PLATFORM).astype("i8"), *newest, some["created_at"]]))
        begin = end
    return _joined(found)


def _joined(found: Sequence[Commits]) -> Commits:
    return (
        Commits._make(map(np.concatenate, zip(*found, strict=True)))
        if found
        else Commits._make([NOTHING] * len(Commits._fields))
    )


def _where(rows: Commits, wanted: Array) -> Commits:
    return Commits._make(column[wanted] for column in rows)


def _merged(rows: Commits) -> Commits:
    """Return them with one row for each job on each commit."""
    mixed = rows.sha ^ (rows.workflow_id + 1) * MIX ^ (rows.name + 1) * MIX_TOO
    order = np.argsort(mixed)
    begins = np.flatnonzero(np.diff(mixed[order], prepend=~mixed[order][:1]) != 0)
    if not len(begins):
        return rows
    of_job = [column[order[begins]] for column in rows[:4]]
    newest = [np.maximum.reduceat(column[order], begins) for column in rows[5:]]
    return Commits._make([*of_job, np.add.reduceat(rows.rows[order], begins), *newest])
