"""What pipemon asks GitHub: each question a method, each answer domain records with the moment up to which it is true.

Every method raises GitHubError; none returns a part of an answer. Names are `owner/name`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from pipemon import telemetry
from pipemon.domain.repositories import Repository
from pipemon.domain.runs import Job, JobList, Run
from pipemon.domain.times import format_time
from pipemon.github import parse
from pipemon.github.auth import TokenSource
from pipemon.github.budget import Gate, Limits
from pipemon.github.deployments import Deployments
from pipemon.github.errors import BadAnswer
from pipemon.github.exchange import Counts, Reply
from pipemon.github.fields import document
from pipemon.github.owners import first_page
from pipemon.github.timed import Patience
from pipemon.github.transport import Transport

T = TypeVar("T")

PER_PAGE = 100
# A matrix has at most 256 jobs, a run some more of them by several matrices.
MOST_JOB_PAGES = 50
MOST_REPOSITORY_PAGES = 100
MOST_LINKS = 1000


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of a list of runs. `unchanged`: GitHub's 304 to the ETag that was applied already; then no runs."""

    url: str
    etag: str | None
    unchanged: bool
    runs: tuple[Run, ...]
    total_count: int
    next_url: str | None
    as_of: int


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """One run by its id; None when unchanged."""

    url: str
    etag: str | None
    unchanged: bool
    run: Run | None
    as_of: int


@dataclass(frozen=True, slots=True)
class JobsAnswer:
    """All jobs of one attempt; None when unchanged."""

    url: str
    etag: str | None
    unchanged: bool
    jobs: JobList | None
    as_of: int


class GitHub:
    """GitHub's API, for one token. Answers to questions that come again are revalidated through the cache file."""

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        gate: Gate,
        cache_path: Path | None = None,
        patience: Patience | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._gate = gate
        self._transport = Transport(api_url, tokens, gate, cache_path, patience or Patience(), monotonic)
        self.deployments = Deployments(self._transport, self._address, self._read, self._pages)
        self._linked: dict[str, str] = {}  # whose page a Link leads to: its address tells a number at best

    @property
    def trouble(self) -> str | None:
        """Why GitHub is not read as it should be, in words for people; None when all is well."""
        return self._transport.trouble

    @property
    def limits(self) -> Limits | None:
        """What is known of the token's limits."""
        return self._gate.limits

    @property
    def counts(self) -> Counts:
        """How many calls were made so far."""
        return self._transport.counts

    @property
    def transport(self) -> Transport:
        """What sends its calls, one at a time: logs and actions go the same way."""
        return self._transport

    def now(self) -> int:
        """Return GitHub's time in whole Unix seconds."""
        return self._gate.github_now()

    def time(self) -> float:
        """Return GitHub's time in Unix seconds."""
        return self._gate.github_time()

    def close(self) -> None:
        """Close all connections and the cache file."""
        self._transport.close()

    def newest_runs(self, repo: str, *, applied_etag: str | None = None, per_page: int = 30) -> RunPage:
        """Return the newest runs of a repository, unfiltered: the one list of GitHub's that does not lag."""
        return self._runs(self._address(repo, "actions/runs", per_page=per_page), repo, "runs", applied_etag)

    def runs_at(self, url: str, *, purpose: str = "poll") -> RunPage:
        """Return the page that a Link of an earlier page names; it must be one of this API."""
        return self._runs(url, self._linked.get(url, ""), "runs_at", None, purpose, cached=False)

    def runs_with_status(self, repo: str, status: str, *, applied_etag: str | None = None) -> RunPage:
        """Return the runs GitHub's search index has under that status: a hint, which may lag or be incomplete."""
        url = self._address(repo, "actions/runs", status=status, per_page=PER_PAGE)
        return self._runs(url, repo, "runs_status", applied_etag)

    def runs_created(
        self,
        repo: str,
        from_at: int,
        to_at: int,
        *,
        page: int = 1,
        applied_etag: str | None = None,
        purpose: str = "backfill",
    ) -> RunPage:
        """Return a page of the runs created in [from_at, to_at); GitHub shows the first 1,000 of a window at most."""
        window = f"{format_time(from_at)}..{format_time(to_at - 1)}"
        more = {"page": page} if page > 1 else {}
        url = self._address(repo, "actions/runs", created=window, per_page=PER_PAGE, **more)
        return self._runs(url, repo, "runs_created", applied_etag, purpose, cached=applied_etag is not None)

    def run(self, repo: str, run_id: int, *, applied_etag: str | None = None, purpose: str = "poll") -> RunAnswer:
        """Return the run with that id, in the state of its latest attempt."""
        url = self._address(repo, f"actions/runs/{run_id}")
        reply = self._transport.get(url, route="run", purpose=purpose, cached=True, applied_etag=applied_etag)
        run = None if reply.unchanged else self._read(reply, "run", lambda body: parse.that_run(body, repo, run_id))
        return RunAnswer(reply.url, reply.etag, reply.unchanged, run, reply.as_of)

    def attempt(self, repo: str, run_id: int, attempt: int, *, purpose: str = "poll") -> Run:
        """Return the run as it was in that attempt."""
        url = self._address(repo, f"actions/runs/{run_id}/attempts/{attempt}")
        reply = self._transport.get(url, route="attempt", purpose=purpose, cached=False)
        return self._read(reply, "attempt", lambda body: parse.that_run(body, repo, run_id, attempt))

    def jobs(
        self,
        repo: str,
        run_id: int,
        attempt: int,
        *,
        live: bool,
        applied_etag: str | None = None,
        purpose: str = "poll",
    ) -> JobsAnswer:
        """Return the jobs of an attempt, all pages of them. `live`: it goes on, and will be asked for again."""
        url = self._address(repo, f"actions/runs/{run_id}/attempts/{attempt}/jobs", per_page=PER_PAGE)
        reply = self._transport.get(url, route="jobs", purpose=purpose, cached=live, applied_etag=applied_etag)
        if reply.unchanged and reply.next_url is not None:
            # Only the first page's ETag is known: that it is unchanged says nothing of the others.
            reply = self._transport.get(url, route="jobs", purpose=purpose, cached=live)
        if reply.unchanged:
            return JobsAnswer(reply.url, reply.etag, True, None, reply.as_of)
        jobs: dict[int, Job] = {}
        total = 0
        for body in self._pages(reply, "jobs", purpose, MOST_JOB_PAGES):
            page = self._read(body, "jobs", lambda found: parse.jobs_page(found, run_id, attempt))
            jobs |= {job.id: job for job in page.jobs}
            total = page.total_count
        found = JobList(run_id, attempt, tuple(jobs.values()), complete=len(jobs) >= total)
        return JobsAnswer(reply.url, reply.etag, False, found, reply.as_of)

    def repository(self, name: str, *, purpose: str = "poll") -> Repository:
        """Return the repository, under the name that it has now."""
        reply = self._transport.get(self._address(name), route="repository", purpose=purpose, cached=True)
        return self._read(reply, "repository", parse.repository)

    def owned_repositories(self, owner: str, *, purpose: str = "poll") -> tuple[Repository, ...]:
        """Return all repositories of that owner which the token may see, without forks and archived ones."""
        found: dict[int, Repository] = {}
        first = first_page(self._transport, self._tokens.installation, owner, purpose)
        for page in self._pages(first, "owned", purpose, MOST_REPOSITORY_PAGES):
            found |= {repo.github_id: repo for repo in self._read(page, "owned", parse.repositories_page)}
        mine = (repo for repo in found.values() if repo.name.lower().startswith(f"{owner.lower()}/"))
        return tuple(repo for repo in mine if not repo.fork and not repo.archived)

    def _runs(
        self,
        url: str,
        repo: str,
        route: str,
        applied_etag: str | None,
        purpose: str = "poll",
        cached: bool = True,
    ) -> RunPage:
        reply = self._transport.get(url, route=route, purpose=purpose, cached=cached, applied_etag=applied_etag)
        page = parse.RunsPage((), 0)
        if not reply.unchanged:
            page = self._read(reply, route, lambda body: parse.runs_page(body, repo))
        if reply.next_url is not None:
            if len(self._linked) >= MOST_LINKS:
                self._linked.clear()
            self._linked[reply.next_url] = repo
        return RunPage(reply.url, reply.etag, reply.unchanged, page.runs, page.total_count, reply.next_url, reply.as_of)

    def _pages(self, reply: Reply, route: str, purpose: str, most: int) -> Iterator[Reply]:
        """Yield the page and those that its Links lead to."""
        yield reply
        for _ in range(most - 1):
            if reply.next_url is None:
                return
            reply = self._transport.get(reply.next_url, route=route, purpose=purpose, cached=False)
            yield reply

    def _read(self, reply: Reply, route: str, read: Callable[[object], T]) -> T:
        """Return the body, parsed; one that can't be believed is rejected whole, and its ETag forgotten with it."""
        try:
            return read(document(reply.body))
        except BadAnswer:
            telemetry.count("github_rejected_answers_total", route=route)
            self._transport.forget(reply.url)
            raise

    def _address(self, repo: str, path: str = "", **query: str | int) -> str:
        owner, _, name = repo.partition("/")
        return self._url(f"repos/{quote(owner, safe='')}/{quote(name, safe='')}/{path}".rstrip("/"), **query)

    def _url(self, path: str, **query: str | int) -> str:
        # GitHub takes `:` and `..` in a window of time as they are; a branch's `#` or `+` must be escaped.
        asked = f"?{urlencode(query, safe=':')}" if query else ""
        return f"{self._transport.api_url}/{path}{asked}"
