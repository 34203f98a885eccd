"""What GitHub tells of deployments: lists, statuses, and the commits between two of them.

https://docs.github.com/rest/deployments and https://docs.github.com/rest/commits/commits#compare-two-commits
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import quote

from pipemon.domain.deployments import Commit, Comparison, Deployment, DeploymentStatus
from pipemon.github.errors import BadAnswer, NotFound, Refused
from pipemon.github.exchange import Reply
from pipemon.github.fields import Document, address, an_id, an_object, count, every, items, moment, part, text, word
from pipemon.github.transport import Transport

T = TypeVar("T")

PER_PAGE = 100
MOST_STATUS_PAGES = 5
# A range of more commits is read so far: drift and lead time then speak of these.
MOST_COMMIT_PAGES = 3
LONGEST_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class DeploymentsPage:
    """One page of a repository's deployments, newest first. `unchanged`: GitHub's 304; then none are in it."""

    etag: str | None
    unchanged: bool
    deployments: tuple[Deployment, ...]
    next_url: str | None
    as_of: int


class Reading(Protocol):
    """Reads a reply's body by a parser; one that can't be believed is rejected whole, and forgotten."""

    def __call__(self, reply: Reply, route: str, read: Callable[[object], T]) -> T:
        """Return what the parser makes of the body."""
        ...


class Deployments:
    """The questions about deployments. Every method raises GitHubError."""

    def __init__(
        self,
        transport: Transport,
        address: Callable[..., str],
        read: Reading,
        pages: Callable[[Reply, str, str, int], Iterator[Reply]],
    ) -> None:
        """`address` makes a URL of a repository's name, a path and a query; `pages` follows the Links of a reply."""
        self._transport = transport
        self._address = address
        self._read = read
        self._pages = pages

    def newest(self, repo: str, *, applied_etag: str | None = None, purpose: str = "poll") -> DeploymentsPage:
        """Return the newest deployments of a repository."""
        url = self._address(repo, "deployments", per_page=PER_PAGE)
        return self._page(url, cached=True, applied_etag=applied_etag, purpose=purpose)

    def at(self, url: str, *, purpose: str = "backfill") -> DeploymentsPage:
        """Return the page that a Link of an earlier page names."""
        return self._page(url, cached=False, applied_etag=None, purpose=purpose)

    def _page(self, url: str, cached: bool, applied_etag: str | None, purpose: str) -> DeploymentsPage:
        reply = self._transport.get(url, route="deployments", purpose=purpose, cached=cached, applied_etag=applied_etag)
        found = () if reply.unchanged else self._read(reply, "deployments", deployments_page)
        return DeploymentsPage(reply.etag, reply.unchanged, found, reply.next_url, reply.as_of)

    def statuses(self, repo: str, deployment_id: int, *, purpose: str = "poll") -> tuple[DeploymentStatus, ...]:
        """Return all statuses of a deployment."""
        url = self._address(repo, f"deployments/{deployment_id}/statuses", per_page=PER_PAGE)
        first = self._transport.get(url, route="deployment_statuses", purpose=purpose, cached=False)
        pages = self._pages(first, "deployment_statuses", purpose, MOST_STATUS_PAGES)
        return tuple(one for page in pages for one in self._read(page, "deployment_statuses", statuses_page))

    def compare(self, repo: str, base: str, head: str, *, purpose: str = "poll") -> Comparison:
        """Return what changed from one commit to another; unreadable where GitHub does not know one of them."""
        span = f"{quote(base, safe='')}...{quote(head, safe='')}"
        url = self._address(repo, f"compare/{span}", per_page=PER_PAGE)
        try:
            first = self._transport.get(url, route="compare", purpose=purpose, cached=False)
            pages = list(self._pages(first, "compare", purpose, MOST_COMMIT_PAGES))
        except (NotFound, Refused):
            return Comparison(base, "unreadable")
        found = [self._read(page, "compare", lambda body: comparison(body, base)) for page in pages]
        return replace(found[0], commits=tuple(commit for one in found for commit in one.commits))


def deployments_page(payload: object) -> tuple[Deployment, ...]:
    """Return a page of deployments; raises BadAnswer if any of them can't be believed."""
    return every({"deployments": payload}, "deployments", deployment)


def statuses_page(payload: object) -> tuple[DeploymentStatus, ...]:
    """Return a page of statuses; raises BadAnswer if any of them can't be believed."""
    return every({"statuses": payload}, "statuses", status)


def deployment(payload: object) -> Deployment:
    """Return one observation of a deployment, without its statuses."""
    body = an_object(payload, "a deployment")
    what = f"deployment {an_id(body, 'id', 'a deployment')}"
    created_at, sha = moment(body, "created_at"), text(body, "sha", 64)
    environment = text(body, "environment") or text(body, "original_environment")
    if created_at is None or sha is None or environment is None:
        raise BadAnswer(f"{what} has no usable created_at, sha or environment")
    updated_at = moment(body, "updated_at")
    return Deployment(
        id=body["id"],
        environment=environment,
        sha=sha,
        created_at=created_at,
        updated_at=created_at if updated_at is None else updated_at,
        ref=text(body, "ref"),
        task=text(body, "task"),
        creator=text(part(body, "creator"), "login"),
        description=text(body, "description"),
    )


def status(payload: object) -> DeploymentStatus:
    """Return one status of a deployment."""
    body = an_object(payload, "a deployment status")
    what = f"deployment status {an_id(body, 'id', 'a deployment status')}"
    created_at, state = moment(body, "created_at"), word(body, "state", what)
    if created_at is None or state is None:
        raise BadAnswer(f"{what} has no usable created_at or state")
    url = address(body, "log_url") or address(body, "target_url") or address(body, "environment_url")
    return DeploymentStatus(body["id"], state, created_at, url)


def comparison(payload: object, base: str) -> Comparison:
    """Return what GitHub says of a range of commits."""
    body = an_object(payload, "a comparison")
    found = word(body, "status", "a comparison")
    if found is None:
        raise BadAnswer("a comparison has no usable status")
    numbers = {name: count(body, name, "a comparison", 0) for name in ("ahead_by", "behind_by")}
    return Comparison(base, found, commits=tuple(map(_commit, items(body, "commits", PER_PAGE * 3))), **numbers)


def _commit(body: Document) -> Commit:
    told, author = part(body, "commit"), part(body, "author")
    parents = body.get("parents")
    return Commit(
        sha=text(body, "sha", 64) or "",
        committed_at=moment(part(told, "committer"), "date") or moment(part(told, "author"), "date"),
        message=text(told, "message", LONGEST_MESSAGE) or "",
        author=text(author, "login") or text(part(told, "author"), "name"),
        is_merge=isinstance(parents, list) and len(parents) > 1,
    )
