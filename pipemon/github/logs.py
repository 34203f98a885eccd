"""Where GitHub keeps logs: each question is answered by an address elsewhere that is good for a minute."""

from urllib.parse import quote

from pipemon.github.transport import Transport


class Logs:
    """Asks for the addresses of logs. They are secrets: who has one may read, so they are never shown or logged."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of_run(self, repo: str, run_id: int, *, purpose: str = "people") -> str:
        """Return the address of the zip of a run's latest attempt. Raises NotFound while it runs, Gone when expired."""
        return self._transport.locate(self._address(repo, f"runs/{run_id}"), route="run_logs", purpose=purpose)

    def of_job(self, repo: str, job_id: int, *, purpose: str = "people") -> str:
        """Return the address of a job's text. Raises NotFound while it runs, Gone when expired."""
        return self._transport.locate(self._address(repo, f"jobs/{job_id}"), route="job_logs", purpose=purpose)

    def _address(self, repo: str, what: str) -> str:
        owner, _, name = repo.partition("/")
        return f"{self._transport.api_url}/repos/{quote(owner, safe='')}/{quote(name, safe='')}/actions/{what}/logs"
