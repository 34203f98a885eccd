"""`/builds`: the runs of all workflows, as a list and one by one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import request

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.errors import refuse
from pipemon.api.schemas import builds as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import as_of, services
from pipemon.queries import detail, runs

bp = Blueprint("builds", __name__, url_prefix="/api/v1/builds", description="Workflow runs")

FILTERS = (
    "workflow", "branch", "event", "actor", "author", "sha", "conclusion", "created_from", "created_to", "result",
    "signature", "job", "failed_job",
)  # fmt: skip


@bp.get("")
@scope("read")
@bp.takes(shapes.BuildsArguments)
@bp.returns(
    shapes.BuildPage,
    headers={"Link": {"schema": {"type": "string"}, "description": "The first, prev, next and last page (RFC 8288)."}},
)
def index(wanted: dict[str, Any]) -> tuple[runs.Page, dict[str, str]]:
    """List builds, newest first, with filters and pages."""
    names = tuple(wanted["repo"])
    per_page = wanted["per_page"] or services().settings.default_page_size
    filters = {name: wanted[name] for name in FILTERS} | {"pull_requests": wanted["include_pull_requests"]}
    asked = to_scope(names, text=wanted["q"], **_by_status(wanted), **filters)
    page = runs.page(
        services().db, runs.Wanted(asked, wanted["page"], per_page, wanted["sort"] or "-started_at"), as_of(names)
    )
    return page, {"Link": link(page)}


@bp.get("/<id:build_id>")
@scope("read")
@bp.returns(shapes.BuildDetail)
@bp.also(404, description="No watched repository has such a build.")
def show(build_id: int) -> detail.RunDetail:
    """Show one build with its jobs, steps and attempts."""
    with services().db.read() as conn:
        found = detail.get(conn, to_scope(()), build_id, lambda name: as_of((name,)).timestamp)
    return found or refuse(404, "There is no such build.")


def _by_status(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status filter; GitHub's takes a conclusion in its place, and so does ours."""
    status = wanted["status"]
    if status in shapes.CONCLUSIONS:
        return {"status": None, "outcome": status}
    return {"status": status}


def link(page: runs.Page) -> str:
    """Return the Link header: addresses without a host, or with that of PUBLIC_URL; no answer depends on the Host."""
    last = max(1, min(-(-page.total_count // page.per_page), shapes.LAST_PAGE))
    pages = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": last}
    shown = {rel: number for rel, number in pages.items() if 1 <= number <= last}
    return ", ".join(f'<{_address(number)}>; rel="{rel}"' for rel, number in shown.items())


def _address(page: int) -> str:
    sent = [(name, value) for name, value in sorted(request.args.items(multi=True)) if not name.startswith("_")]
    query = urlencode([(name, value) for name, value in sent if name != "page"] + [("page", str(page))])
    return f"{services().settings.public_url or ''}/api/v1/builds?{query}"
