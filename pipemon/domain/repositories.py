"""Repositories as GitHub tells them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository. `name` is `owner/name` as GitHub spells it today (a rename changes it, never the id)."""

    github_id: int
    name: str
    default_branch: str
    private: bool = False
    archived: bool = False
    fork: bool = False
