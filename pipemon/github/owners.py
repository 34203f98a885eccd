"""Where GitHub lists the repositories of an owner: that depends on what the owner is, and on who asks."""

from urllib.parse import quote

from pipemon.github.errors import BadAnswer, NotFound, PermissionMissing
from pipemon.github.exchange import Reply
from pipemon.github.fields import an_object, document, text
from pipemon.github.transport import Transport

PER_PAGE = 100


def first_page(transport: Transport, installation: bool, owner: str, purpose: str) -> Reply:
    """Return the first page of the owner's repositories: an App's, an organisation's, our own, or another user's."""

    def get(path: str) -> Reply:
        return transport.get(f"{transport.api_url}/{path}", route="owned", purpose=purpose, cached=True)

    if installation:
        return get(f"installation/repositories?per_page={PER_PAGE}")
    name = quote(owner, safe="")
    try:
        return get(f"orgs/{name}/repos?per_page={PER_PAGE}&type=all")
    except NotFound:
        pass
    try:
        login = text(an_object(document(get("user").body), "a user"), "login")
    except (BadAnswer, PermissionMissing, NotFound):
        login = None  # no user is behind this token: a user's list shows what is public
    if login is not None and login.lower() == owner.lower():
        return get(f"user/repos?per_page={PER_PAGE}&affiliation=owner")
    return get(f"users/{name}/repos?per_page={PER_PAGE}&type=owner")
