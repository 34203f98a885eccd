"""`/deployments`, `/environments` and the rollbacks: what was brought where, and what was taken back."""

from typing import Any

from flask import request
from sqlalchemy import Connection

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import caller, scope
from pipemon.api.errors import refuse
from pipemon.api.schemas import deployments as shapes
from pipemon.api.schemas.scope import Repositories, to_scope
from pipemon.api.services import as_of, services
from pipemon.queries import drift, rollouts
from pipemon.store import deployments
from pipemon.store.deployments import Overruling

bp = Blueprint("deployments", __name__, url_prefix="/api/v1", description="GitHub deployments")


@bp.get("/deployments")
@scope("read")
@bp.takes(shapes.DeploymentsArguments)
@bp.returns(shapes.DeploymentPage)
def index(wanted: dict[str, Any]) -> rollouts.Page:
    """List deployments, newest first, each with what it was to its environment, by which rule and evidence."""
    names = tuple(wanted["repo"])
    filters = rollouts.Filter(*(wanted[name] for name in ("environment", "state", "kind", "sha")))
    place = (wanted["page"], wanted["per_page"] or services().settings.default_page_size)
    return rollouts.page(services().db, to_scope(names), filters, place, as_of(names))


@bp.get("/deployments/<id:deployment_id>")
@scope("read")
@bp.returns(shapes.DeploymentDetail)
@bp.also(404, description="No watched repository has such a deployment.")
def show(deployment_id: int) -> rollouts.Shown:
    """Show one deployment."""
    found = rollouts.get(services().db, to_scope(()), deployment_id)
    return found or refuse(404, "There is no such deployment.")


@bp.put("/deployments/<id:deployment_id>/verdict")
@scope("operate")
@bp.takes_body(shapes.Overruling)
@bp.returns(shapes.DeploymentDetail)
@bp.doc(parameters=[{"in": "header", "name": "If-Match", "required": True, "schema": {"type": "string"},
                     "description": "The verdict's `version`, in quotes."}])  # fmt: skip
@bp.also(404, description="No watched repository has such a deployment.")
@bp.also(412, description="The verdict has another version by now.")
def overrule(said: dict[str, Any], deployment_id: int) -> rollouts.Shown:
    """Say what a deployment was, in the place of the verdict; it stands until it is taken back."""
    db, wanted = services().db, request.headers.get("If-Match", "").strip('"')
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10):
        refuse(422, "Send the verdict's version.", {"If-Match": ['The `version` of the verdict, as in "3".']})
    if rollouts.get(db, to_scope(()), deployment_id) is None:
        refuse(404, "There is no such deployment.")
    overruling = Overruling(said["kind"], caller().name, int(services().clock()), said["why"])

    def work(conn: Connection) -> bool:
        return deployments.overrule(conn, deployment_id, int(wanted), overruling)

    if not db.transact(work):
        refuse(412, "The verdict has another version by now.")
    return rollouts.get(db, to_scope(()), deployment_id) or refuse(404, "There is no such deployment.")


@bp.get("/environments")
@scope("read")
@bp.takes(Repositories)
@bp.returns(shapes.Environments)
def environments(wanted: dict[str, Any]) -> drift.Environments:
    """Show what is live in each environment, since when, and whose work waits to be."""
    names = tuple(wanted["repo"])
    return drift.list_environments(services().db, to_scope(names), as_of(names))


@bp.get("/builds/history/rollbacks")
@scope("read")
@bp.takes(shapes.RollbacksArguments)
@bp.returns(shapes.Rollbacks)
def rollbacks(wanted: dict[str, Any]) -> rollouts.Rollbacks:
    """List the newest rollbacks: which deployment was undone, when, and by going back to what."""
    names = tuple(wanted["repo"])
    return rollouts.list_rollbacks(services().db, to_scope(names), wanted["limit"], as_of(names))
