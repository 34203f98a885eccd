"""The document repeats what the code defines, word for word."""

import re
from pathlib import Path

from pipemon.analytics.definitions import BY_ID, DEFINITIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_document_has_every_definition_word_for_word() -> None:
    section = DOCUMENT.read_text().split("## The numbers of `/analytics`")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in re.findall(r"^\| `.*$", section, re.MULTILINE)]
    told = [
        [f"`{one.id}`", one.name, one.unit, one.formula, one.counts, one.leaves_out, one.source] for one in DEFINITIONS
    ]
    assert rows == told


def test_an_id_names_one_definition() -> None:
    assert len(BY_ID) == len(DEFINITIONS)
