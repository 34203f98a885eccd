"""Texts that must never be shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret text: printing, formatting or logging it shows only that it is set and its last four characters."""

    value: str

    def reveal(self) -> str:
        """Return the secret itself: call it where it leaves for its owner, nowhere else."""
        return self.value

    def __str__(self) -> str:
        return f"***{self.value[-4:]}" if len(self.value) >= 12 else "***"

    def __repr__(self) -> str:
        return f"Secret({self})"
