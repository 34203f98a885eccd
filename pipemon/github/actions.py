"""What pipemon asks GitHub to do: run again, cancel. The one place that changes anything there."""

from urllib.parse import quote

from pipemon.domain.actions import Action
from pipemon.github.transport import Transport


class Actions:
    """GitHub's own actions on runs, for a token that may write them (`actions: write`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def do(self, action: Action) -> None:
        """Ask for one action, once; return after GitHub's yes.

        Raises Uncertain where nobody knows whether it was done, and another GitHubError where it was not.
        """
        owner, _, name = action.repository.partition("/")
        repository = f"{self._transport.api_url}/repos/{quote(owner, safe='')}/{quote(name, safe='')}"
        # https://docs.github.com/rest/actions/workflow-runs: 201 for the reruns, 202 for the cancels.
        path = {
            "rerun": f"runs/{action.build_id}/rerun",
            "rerun_failed": f"runs/{action.build_id}/rerun-failed-jobs",
            "rerun_job": f"jobs/{action.job_id}/rerun",
            "cancel": f"runs/{action.build_id}/cancel",
            "force_cancel": f"runs/{action.build_id}/force-cancel",
        }[action.verb]
        body = {"enable_debug_logging": action.debug} if action.is_rerun else {}
        self._transport.post(f"{repository}/actions/{path}", body, route=action.verb)
