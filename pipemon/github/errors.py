"""What can go wrong with GitHub. Each error says whether the same call may succeed later without anybody's help."""


class GitHubError(Exception):
    """A call that brought no usable answer; its text is one line fit for people, without secrets."""

    retryable = False


class LimitReached(GitHubError):
    """GitHub forbids calls until the Unix second `until` (its clock)."""

    retryable = True

    def __init__(self, until: int, why: str) -> None:
        super().__init__(why)
        self.until = until


class BudgetSpent(LimitReached):
    """Our own reserve, not GitHub's no: what is left until `until` is kept for something more important."""


class Unreachable(GitHubError):
    """No whole answer came: name, connection, TLS, proxy or time; the cause is told in words."""

    retryable = True

    def __init__(self, cause: str) -> None:
        super().__init__(f"GitHub can't be reached: {cause}")
        self.cause = cause


class Uncertain(GitHubError):
    """Something was asked to be done, and no answer says whether it was: asked again, it might be done twice."""


class ServerError(GitHubError):
    """GitHub answered 5xx, also when asked again."""

    retryable = True

    def __init__(self, status: int) -> None:
        super().__init__(f"GitHub answered {status}")
        self.status = status


class BadToken(GitHubError):
    """401: the token is revoked, expired or wrong, also after it was read or made anew."""


class PermissionMissing(GitHubError):
    """403 that is no limit: the token lacks something. `permission` is what GitHub would accept, where it says so."""

    def __init__(self, permission: str, message: str = "") -> None:
        super().__init__(f"the token lacks {permission or 'a permission'}" + (f": {message}" if message else ""))
        self.permission = permission


class NotFound(GitHubError):
    """404: it does not exist, or the token may not see it."""


class Gone(GitHubError):
    """410: it existed once."""


class Refused(GitHubError):
    """GitHub understood and declined: 409, 422 or another 4xx, with its reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"GitHub refused with {status}: {message}" if message else f"GitHub refused with {status}")
        self.status = status
        self.message = message


class BadAnswer(GitHubError):
    """An answer that can't be believed as a whole: truncated, not JSON, too large, or of a wrong shape."""

    retryable = True
