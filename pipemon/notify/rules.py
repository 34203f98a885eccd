"""Which rules an event meets: decided from its arguments alone, in time linear in their lengths."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipemon.notify.quiet import Quiet

EVENTS = (
    "build_queued", "build_started", "build_succeeded", "build_failed", "build_timeout", "build_cancelled",
    "build_recovered", "build_still_failing", "build_slow", "build_overdue", "build_queued_too_long", "job_failed",
    "deployment_success", "deployment_failed", "rollback_detected", "budget_low",
)  # fmt: skip
GLOBBED = ("branch", "workflow", "status", "conclusion", "event", "author", "repository")
COUNTED = ("consecutive_failures", "duration_over_minutes", "duration_over_p95")
LINE = ("repository", "workflow", "branch")
DEFAULT_BRANCH = "@default"
FAILURES = ("build_failed", "build_timeout")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: of a word, globs of which one must match and none of those with `!`; of a count, a number."""

    type: str
    globs: tuple[str, ...] = ()
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: all of its conditions must hold."""

    id: int
    name: str
    trigger_events: frozenset[str]
    conditions: tuple[Condition, ...]
    channels: tuple[str, ...]
    enabled: bool = True
    quiet: Quiet | None = None
    muted_until: float = 0.0

    @property
    def asks_usual(self) -> bool:
        """Whether it asks how long builds usually take."""
        is_asked = any(condition.type == "duration_over_p95" for condition in self.conditions)
        return is_asked or "build_slow" in self.trigger_events

    @property
    def closes(self) -> bool:
        """Whether who was told of a failure by this rule is told of the repair too."""
        return not self.trigger_events.isdisjoint(FAILURES)


@dataclass(frozen=True, slots=True)
class Fact:
    """What rules are held against: the names under which an event is told, and what is known of its build.

    `branch` is None where it is no branch of the repository itself. `failures`: so many decisive failures in a row.
    """

    names: tuple[str, ...]
    repository: str
    workflow: str | None = None
    branch: str | None = None
    default_branch: str | None = None
    pull_request: bool = False
    status: str | None = None
    conclusion: str | None = None
    event: str | None = None
    author: str | None = None
    failures: int = 0
    duration_seconds: int | None = None
    p95_seconds: float | None = None  # of its workflow's builds before it
    line: str = ""  # whose branch it is, where that is no branch of the repository itself
    red_since: tuple[int, int] | None = None  # the run number and attempt with which the failures in a row begin
    red_at: int | None = None  # when that one ended


Place = tuple[str, str]  # a condition's type, and what its value must begin with
EVERYWHERE: Place = ("", "")


class Shelf:
    """Rules by what one of their conditions asks a value to begin with, so that a fact meets few of many.

    Of each rule it is the condition that the fewest others share. `types`: those that may be chosen.
    """

    def __init__(self, rules: Sequence[Rule], types: Sequence[str]) -> None:
        self._types = types
        shared = Counter(place for rule in rules for places in self._choices(rule) for place in places)
        self._rules: dict[Place, list[Rule]] = {}
        self._lengths: dict[str, set[int]] = {}
        for rule in rules:
            for kind, start in min(self._choices(rule), key=lambda places: sum(shared[place] for place in places)):
                self._lengths.setdefault(kind, set()).add(len(start))
                self._rules.setdefault((kind, start), []).append(rule)

    def candidates(self, fact: Fact) -> Iterator[Rule]:
        """Yield the rules that may hold; one of several globs more than once, perhaps."""
        yield from self._rules.get(EVERYWHERE, ())
        for kind in self._lengths.keys() - {""}:
            values = {getattr(fact, kind)} - {None}
            if kind == "branch" and fact.branch is not None and fact.branch == fact.default_branch:
                values.add(DEFAULT_BRANCH)
            starts = {value[:length] for value in values for length in self._lengths[kind] if length <= len(value)}
            for start in sorted(starts):
                yield from self._rules.get((kind, start), ())

    def _choices(self, rule: Rule) -> list[set[Place]]:
        found = [
            {(condition.type, re.split(r"[*?[]", glob, maxsplit=1)[0]) for glob in wanted}
            for condition in rule.conditions
            if condition.type in self._types and (wanted := _wanted(condition.globs))
        ]
        return found or [{EVERYWHERE}]


class Index:
    """Rules by the event that triggers them and by what they ask, so that an event meets only those that could want it.

    `evaluated` counts the rules that were looked at.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        by_event: dict[str, list[Rule]] = {}
        enabled = [rule for rule in rules if rule.enabled]
        for rule in enabled:
            for name in rule.trigger_events:
                by_event.setdefault(name, []).append(rule)
        self._by_event = {name: Shelf(found, GLOBBED) for name, found in by_event.items()}
        self._closing = Shelf([rule for rule in enabled if rule.closes], LINE)
        self.asks_usual = any(rule.asks_usual for rule in enabled)
        self.evaluated = 0

    def matching(self, fact: Fact) -> list[tuple[Rule, str]]:
        """Return each rule that holds once, with the most telling name of the event that it wants."""
        found: dict[int, tuple[Rule, str]] = {}
        for name in fact.names:
            if name in self._by_event:
                for rule in self._by_event[name].candidates(fact):
                    if rule.id not in found and self._holds(matches, rule, fact):
                        found[rule.id] = (rule, name)
        return list(found.values())

    def closing(self, fact: Fact) -> list[Rule]:
        """Return the rules that may have told of a failure on the line of this repair."""
        found = {rule.id: rule for rule in self._closing.candidates(fact) if self._holds(is_on_line, rule, fact)}
        return list(found.values())

    def _holds(self, test: Callable[[Rule, Fact], bool], rule: Rule, fact: Fact) -> bool:
        self.evaluated += 1
        return test(rule, fact)


def is_on_line(rule: Rule, fact: Fact) -> bool:
    """Whether the rule is about this repository, workflow and branch.

    Who repairs it, how, and how long that takes is another thing than who broke it: such conditions say nothing here.
    """
    if fact.pull_request and not any(condition.type == "event" for condition in rule.conditions):
        return False
    return all(_holds(condition, fact) for condition in rule.conditions if condition.type in LINE)


def matches(rule: Rule, fact: Fact) -> bool:
    """Whether all conditions of the rule hold."""
    if fact.pull_request and not any(condition.type == "event" for condition in rule.conditions):
        return False
    return all(_holds(condition, fact) for condition in rule.conditions)


def _holds(condition: Condition, fact: Fact) -> bool:
    if condition.number is not None:
        return _passes(condition.type, condition.number, fact)
    value: str | None = getattr(fact, condition.type)
    if value is None:
        return False
    globs = condition.globs
    if condition.type == "branch":
        globs = tuple(_branch(glob, fact.default_branch) for glob in globs)
    return any_matches(globs, value)


def _passes(kind: str, number: float, fact: Fact) -> bool:
    if kind == "consecutive_failures":
        return fact.failures >= number
    if fact.duration_seconds is None:
        return False
    if kind == "duration_over_minutes":
        return fact.duration_seconds > number * 60
    return fact.p95_seconds is not None and fact.duration_seconds > number * fact.p95_seconds


def any_matches(globs: Sequence[str], value: str) -> bool:
    """Whether one of the globs matches, or there are none but exclusions, and no exclusion (`!`) does."""
    wanted = _wanted(globs)
    if any(fnmatchcase(value, glob[1:]) for glob in globs if glob.startswith("!")):
        return False
    return not wanted or any(fnmatchcase(value, glob) for glob in wanted)


def _wanted(globs: Iterable[str]) -> list[str]:
    return [glob for glob in globs if not glob.startswith("!")]


def _branch(glob: str, default_branch: str | None) -> str:
    """Return the glob with @default spelled out; a name has no glob's signs in it."""
    sign, name = ("!", glob[1:]) if glob.startswith("!") else ("", glob)
    return f"{sign}{default_branch or chr(0)}" if name == DEFAULT_BRANCH else glob
