"""What is told, in no channel's own form. All texts are as they came: escaping them is the channel's duty."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from pipemon.domain.times import format_time
from pipemon.store.failures import Why

MARKS = {"bad": "🔴", "good": "🟢", "info": "🔵", "warn": "🟠"}
REPEAT = "(possible repeat) "
LONGEST_TITLE = 200
MOST_LISTED = 9
IN_A_ROW = "Failures in a row"
WAS_RED = "Was red for"


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `severity` is bad, good, warn or info; `facts` are pairs of a word and what it is; `error` is the
    line of a log that says why.

    `people` are the logins of those who should know. `thread` is what it follows upon, where its channel can show that.
    `possible_duplicate`: nobody knows whether it has arrived already, and its text says so.
    """

    title: str
    text: str
    severity: str = "info"
    facts: tuple[tuple[str, str], ...] = ()
    url: str | None = None
    occurred_at: int | None = None
    possible_duplicate: bool = False
    error: str | None = None
    blocks: tuple[Mapping[str, Any], ...] = ()
    people: tuple[str, ...] = ()
    thread: "Thread | None" = None

    @property
    def heading(self) -> str:
        """The title as it is shown: with its mark, and with the word of a possible repeat."""
        return f"{REPEAT if self.possible_duplicate else ''}{MARKS[self.severity]} {self.title}"[:LONGEST_TITLE]

    @property
    def way(self) -> str:
        """What its link says: where it leads to. Who deploys chooses the address of a deployment."""
        try:
            host = urlsplit(self.url or "").hostname or ""
        except ValueError:
            host = ""
        return "Open on GitHub" if host == "github.com" else f"Open on {host}".removesuffix(" on ")

    def to_json(self) -> str:
        """Return it as the database keeps it."""
        return json.dumps({**asdict(self), "thread": None}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Message":
        """Return what `to_json` was given."""
        values = json.loads(text)
        values["facts"] = tuple((word, what) for word, what in values["facts"])
        values["blocks"], values["people"] = tuple(values["blocks"]), tuple(values.get("people", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Thread:
    """The message that told that it broke, and what its channel calls it.

    `is_repaired`: that it is repaired is told elsewhere, and what comes late changes nothing of that.
    """

    reference: str
    opener: Message
    is_repaired: bool = False


def standing(opener: Message, latest: Message) -> Message:
    """Return the message that told that it broke as it stands after the latest one of its incident."""
    known = dict(latest.facts)
    facts = [pair for pair in opener.facts if pair[0] != IN_A_ROW]
    facts += [(IN_A_ROW, known[IN_A_ROW])] if IN_A_ROW in known else []
    if latest.severity == "good":
        title = latest.title
        since_opener = took(max(0, (latest.occurred_at or 0) - (opener.occurred_at or 0)))
        facts.append((WAS_RED, known.get(WAS_RED, since_opener)))
    else:
        title = f"{opener.title}: {known[IN_A_ROW]} in a row" if IN_A_ROW in known else opener.title
        facts.append(("Last failure", known.get("At", "")))
    return replace(opener, title=title, text=title, severity=latest.severity, facts=tuple(facts), people=())


def explained(said: Message, why: Why) -> Message:
    """Return a message of a failed build that says why it failed."""
    where = why.job if why.step is None else f"{why.job}, step {why.step}"
    if why.others:
        where += f" (and {why.others} more failed {'job' if why.others == 1 else 'jobs'})"
    facts = [pair for pair in said.facts if pair[0] != "Job" and (pair[0] != "Step" or why.step is None)]
    return replace(said, facts=(*facts[:1], ("Job", where), *facts[1:]), error=why.title)


HEADLINES = {
    "build_failed": ("bad", "{workflow} failed on {branch}"),
    "build_timeout": ("bad", "{workflow} timed out on {branch}"),
    "build_still_failing": ("bad", "{workflow} still fails on {branch}"),
    "build_recovered": ("good", "{workflow} is repaired on {branch}"),
    "build_succeeded": ("good", "{workflow} succeeded on {branch}"),
    "build_cancelled": ("warn", "{workflow} was cancelled on {branch}"),
    "build_started": ("info", "{workflow} started on {branch}"),
    "build_queued": ("info", "{workflow} is queued on {branch}"),
    "build_slow": ("warn", "{workflow} took unusually long on {branch}"),
    "build_overdue": ("warn", "{workflow} runs for unusually long on {branch}"),
    "build_queued_too_long": ("warn", "{workflow} waits for a runner on {branch}"),
    "budget_low": ("warn", "few calls to GitHub are left"),
    "job_failed": ("bad", "a job of {workflow} failed on {branch}"),
    "deployment_success": ("good", "{branch} was deployed to {environment}"),
    "deployment_failed": ("bad", "{branch} could not be deployed to {environment}"),
    "rollback_detected": ("warn", "{environment} was rolled back"),
}


# Durations in an event's data, and the word for each.
TIMES = (
    ("duration_seconds", "Took"),
    ("running_seconds", "Runs for"),
    ("p99_seconds", "Usually at most"),
    ("queued_seconds", "Waits for"),
)


def of_event(
    event_type: str, data: Mapping[str, Any], occurred_at: int, failures: int = 0, red_at: int | None = None
) -> Message:
    """Return the message of one event of a build.

    `failures`: how many in a row there are by now, or were; `red_at`: when the first of them ended.
    """
    if event_type == "budget_low":
        return _of_budget(data, occurred_at)
    severity, headline = HEADLINES.get(event_type, ("info", f"{event_type}: {{workflow}} on {{branch}}"))
    named = {
        "workflow": data.get("workflow") or "a workflow",
        "branch": data.get("branch") or data.get("ref") or "no branch",
        "environment": data.get("environment") or data.get("workflow") or "an environment",
    }
    facts = [
        ("Repository", str(data.get("repository") or "")),
        ("Commit", _commit(data)),
        ("By", str(data.get("actor") or data.get("creator") or "nobody known")),
    ]
    if data.get("previous_commit_sha"):
        facts.append(("Was", str(data["previous_commit_sha"])[:7]))
    if data.get("job"):
        facts.append(("Job", str(data["job"])))
    if data.get("failed_step"):
        facts.append(("Step", str(data["failed_step"])))
    if failures > 1:
        facts.append((IN_A_ROW, str(failures)))
    if red_at is not None and not data.get("since"):
        if event_type == "build_recovered":
            facts.append((WAS_RED, took(max(0, occurred_at - red_at))))
        elif failures > 1 and severity == "bad":
            facts.append(("Red since", _moment(format_time(red_at))))
    facts += [(word, took(int(data[name]))) for name, word in TIMES if data.get(name) is not None]
    if data.get("labels"):
        facts.append(("Runner", ", ".join(map(str, data["labels"]))))
    facts.append(("Since", _moment(data["since"])) if data.get("since") else ("At", _moment(format_time(occurred_at))))
    title = headline.format_map(named)
    url = data.get("url")
    return Message(
        title, f"{title} ({data.get('repository')})", severity, tuple(facts), str(url) if url else None, occurred_at
    )


def _of_budget(data: Mapping[str, Any], occurred_at: int) -> Message:
    title = "few calls to GitHub are left"
    text = "At a tenth pipemon stops to read, so that people can still act; what it shows may then be old."
    left, until = f"{data['remaining']} of {data['limit']}", _moment(data["reset_at"])
    return Message(title, text, "warn", (("Left", left), ("Until", until)), occurred_at=occurred_at)


def _moment(text: str | None) -> str:
    return (text or "").replace("T", " ").replace("Z", " UTC")


def summary(first: Message, count: int) -> Message:
    """Return the message that stands for further ones of the same group."""
    title = f"{first.title}: {count} more" if count > 1 else f"{first.title}, once more"
    return Message(title, title, first.severity, first.facts, first.url, first.occurred_at)


def digest(waited: Sequence[tuple[str | None, Message]], events: int) -> Message:
    """Return the message that stands for all that waited while the channel could not be reached.

    `waited`: each with its incident, if it is of one, the oldest first. Of an incident the last word counts, and what
    is bad comes first.
    """
    last = {group or str(place): said for place, (group, said) in enumerate(waited)}
    ordered = sorted(last.values(), key=lambda said: said.severity != "bad")
    of_events = f" (of {events} events)" if events > len(waited) else ""
    title = f"{len(waited)} messages{of_events} waited while this channel could not be reached"
    facts = [
        (f"{MARKS[said.severity]} {_moment(format_time(said.occurred_at))}".strip(), said.text) for said in ordered
    ]
    rest = len(facts) - MOST_LISTED
    more = [("More", f"{rest} others are in the history of notifications")] if rest > 0 else []
    return Message(title, title, "warn", (*facts[:MOST_LISTED], *more))


def took(seconds: int) -> str:
    """Return a duration in words: 42 s, 3 min 5 s, 2 h 7 min."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _commit(data: Mapping[str, Any]) -> str:
    sha, subject = str(data.get("commit_sha") or "")[:7], str(data.get("commit_message") or "").split("\n", 1)[0]
    return f"{sha} {subject}".strip() or "unknown"
