"""Why a job failed: what was kept of its log, also when GitHub has deleted it."""

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.errors import refuse
from pipemon.api.logs import check_flag
from pipemon.api.schemas import failures as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import services
from pipemon.queries import failures

bp = Blueprint("failures", __name__, url_prefix="/api/v1/builds", description="Workflow runs")


@bp.get("/<id:build_id>/jobs/<id:job_id>/failure")
@scope("read")
@bp.returns(shapes.KeptLog)
@bp.also(404, description="There is no such build or job, or it did not fail.")
def show(build_id: int, job_id: int) -> tuple[failures.KeptLog, dict[str, str]]:
    """Show why a job failed, with the lines of its log that were kept."""
    check_flag()
    with services().db.read() as conn:
        found = failures.kept(conn, to_scope(()), build_id, job_id)
    return found or refuse(404, "There is no such build or job, or it did not fail."), {"Cache-Control": "no-store"}
