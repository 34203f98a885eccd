"""GitHub's routes to deployments, their statuses, and what lies between two commits."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipemon.simulator import deployments
from pipemon.simulator.world import Repository

if TYPE_CHECKING:
    from pipemon.simulator.server import Simulator

Answer = tuple[int, Any, dict[str, str]]
Parts = dict[str, Any]
NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}


def table(sim: "Simulator", link: Callable[..., dict[str, str]]) -> list[tuple[str, str, Callable[..., Answer]]]:
    """Return verb, tail of the path, and view of each route. `link` makes the Link header."""

    def _deployments(repo: Repository, parts: Parts, query: dict[str, str], now: int) -> Answer:
        found = sim.deployments.until(repo, now)[::-1]
        page, per_page = max(1, int(query.get("page", 1))), min(100, max(1, int(query.get("per_page", 30))))
        shown = found[(page - 1) * per_page : page * per_page]
        last = max(1, -(-len(found) // per_page))
        bodies = [deployments.render(sim.renderer, repo, one) for one in shown]
        return 200, bodies, link(repo, "deployments", query, page, last)

    def _deployment_statuses(repo: Repository, parts: Parts, query: dict[str, str], now: int) -> Answer:
        wanted = int(parts["deployment"])
        one = next((one for one in sim.deployments.until(repo, now) if one.id == wanted), None)
        return (404, NOT_FOUND, {}) if one is None else (200, deployments.render_statuses(sim.renderer, repo, one), {})

    def _compare(repo: Repository, parts: Parts, query: dict[str, str], now: int) -> Answer:
        body = deployments.compare(sim.renderer, repo, (parts["base"], parts["head"]), now)
        return (404, NOT_FOUND, {}) if body is None else (200, body, {})

    return [
        ("GET", "/deployments", _deployments),
        ("GET", r"/deployments/(?P<deployment>\d+)/statuses", _deployment_statuses),
        ("GET", r"/compare/(?P<base>[0-9a-f]+)\.\.\.(?P<head>[0-9a-f]+)", _compare),
    ]
