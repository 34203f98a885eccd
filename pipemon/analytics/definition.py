"""What is said of a number."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One number: over what it is taken (`counts`), what is not part of it, and whence it comes (`source`)."""

    id: str
    name: str
    unit: str
    formula: str
    counts: str
    leaves_out: str
    source: str
