"""The overview of a window with production's four keys."""

from dataclasses import dataclass, fields
from typing import Any

from pipemon.analytics.four_keys import Keys, no_keys
from pipemon.queries import analytics
from pipemon.queries.analytics import Changes, Numbers, Overview
from pipemon.queries.delivery import Delivers, KeyChanges, production
from pipemon.queries.look import Look, Source
from pipemon.queries.window import Window

OF_NO_BUILD = "Deployments belong to no branch, workflow or event of builds: ask without these."


@dataclass(frozen=True, slots=True)
class PreviousNumbers(Numbers):
    """The numbers of the window before, with its keys."""

    keys: Keys


@dataclass(frozen=True, slots=True)
class AllChanges(Changes):
    """How all of them moved; none of the keys where their window before is empty or not all of it was read."""

    keys: KeyChanges


@dataclass(frozen=True, slots=True)
class FullOverview(Overview):
    """What `/analytics/overview` tells."""

    keys: Keys
    keys_before: Keys
    key_changes: KeyChanges

    @property
    def previous(self) -> PreviousNumbers:
        """The window before."""
        return PreviousNumbers(**_parts(self.before), keys=self.keys_before)

    @property
    def changes(self) -> AllChanges | None:
        """Against the window before; None where that is empty, or not all of it was read."""
        found = self.change
        return None if found is None else AllChanges(**_parts(found), keys=self.key_changes)


def overview(db: Source, window: Window, delivers: Delivers) -> FullOverview:
    """Return the numbers of the window, and the four keys where no filter of builds is asked."""
    db = Look.at(db)
    found = analytics.overview(db, window)
    nothing = no_keys(OF_NO_BUILD)
    if window.scope.branch or window.scope.workflow or window.scope.event:
        return FullOverview(**_parts(found), keys=nothing, keys_before=nothing, key_changes=KeyChanges())
    delivered = production(db, window, delivers)
    changes = delivered.change or KeyChanges()
    return FullOverview(**_parts(found), keys=delivered.keys, keys_before=delivered.keys_before, key_changes=changes)


def _parts(one: Any) -> dict[str, Any]:
    return {part.name: getattr(one, part.name) for part in fields(one)}
