"""What a minute on a runner costs, by the labels that a job asked for."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

SELF_HOSTED = "self-hosted"


def price_of(labels: Sequence[str], prices: Mapping[str, float]) -> float | None:
    """Return the dollars a minute of the first label that the table knows; None where it knows none.

    Of several globs that match, the longest counts. A self-hosted runner costs nothing, whatever else it is called,
    unless the table says otherwise.
    """
    names = sorted((label.lower() for label in labels), key=lambda label: label != SELF_HOSTED)
    for name in names:
        matching = [glob for glob in prices if fnmatchcase(name, glob.lower())]
        if matching:
            return prices[max(matching, key=lambda glob: (len(glob), glob))]
        if name == SELF_HOSTED:
            return 0.0
    return None
