"""Signatures: the same for what is the same, different for what differs, whatever varies from run to run."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipemon.domain.signatures import (
    MOST_ERRORS,
    MOST_HINTS,
    MOST_TAIL,
    Kept,
    Said,
    Signature,
    fingerprint,
    normalise,
    sign,
)

EXIT = ("error", "Process completed with exit code 1.")


def lines(*texts: str | tuple[str, str]) -> list[Said]:
    """Return lines; a pair names its level."""
    pairs = [text if isinstance(text, tuple) else ("info", text) for text in texts]
    return [Said(number, None, level, text) for number, (level, text) in enumerate(pairs, start=1)]


def sign_of(*texts: str | tuple[str, str]) -> Signature:
    return sign(lines(*texts, EXIT))


VARIATIONS = [
    ("ran into error after 3.21s", "ran into error after 14.5s"),
    ("error at 2026-01-31T12:00:00.123Z in job", "error at 2025-11-02 03:04:05,999 in job"),
    ("error: object 3f786850e387550fdab836ed7e6dc881de23001b missing", "error: object 89e6c98d92887913 missing"),
    ("Error: connect ECONNREFUSED 127.0.0.1:5432", "Error: connect ECONNREFUSED 10.1.2.3:15432"),
    ("error: /home/runner/work/a/a/src/x.c:12: bad", "error: /builds/b/src/x.c:7: bad"),
    ("error: C:\\actions\\work\\x.cs(3,4): bad", "error: D:\\a\\x.cs(77,1): bad"),
    ("panic: at 0xc000012345 in main", "panic: at 0x1f in main"),
    ("fatal: 7c9e6679-7425-40de-944b-e07fc1f90ae7 lost", "fatal: 00000000-0000-4000-8000-000000000000 lost"),
    ("error: GET https://a.example/x?y=1 gave 500", "error: GET https://b.example/zz gave 502"),
    ("FAILED tests/a/test_x.py::test_y - assert 3 == 4", "FAILED tests/b/test_x.py::test_y - assert 8 == 9"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), VARIATIONS)
def test_what_varies_from_run_to_run_does_not_count(one: str, other: str) -> None:
    assert sign_of(one).id == sign_of(other).id is not None
    assert fingerprint(one) == fingerprint(other)


DIFFERENT = [
    "FAILED tests/test_x.py::test_y - AssertionError",
    "FAILED tests/test_x.py::test_z - AssertionError",
    "FAILED tests/test_w.py::test_y - AssertionError",
    "error TS2339: Property 'net' does not exist on type 'Price'.",
    "error TS2304: Cannot find name 'net'.",
    "src/main.c:3: error: expected ';'",
    "npm ERR! missing script: build",
    "--- FAIL: TestCheckout (0.00s)",
    "error: a/b and c/d differ",
    "error: a/b or c/d differ",
]


def test_what_differs_has_different_signatures() -> None:
    found = [sign_of(text).id for text in DIFFERENT]
    # TypeScript's numbers are the same word: the sentences tell them apart.
    assert len(set(found)) == len(DIFFERENT)


TITLES = [
    (["9 items", "E   AssertionError: assert 3 == 4", "1 failed, 8 passed"], "E AssertionError: assert 3 == 4"),
    (["/home/runner/work/shop/shop/src/a.c:3: error: no ';'", "make: *** [all] Error 1"], "src/a.c:3: error: no ';'"),
    ([("error", "Unable to find module"), "Error: something else"], "Unable to find module"),
    (["npm ERR! code ELIFECYCLE", "npm ERR! missing script: build"], "npm ERR! missing script: build"),
    (["Build is going on", "it cannot go on"], "it cannot go on"),
    (["only this", "and that"], "only this"),
    (["● Console", "  ● price › adds up"], "● price › adds up"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "title"), TITLES)
def test_the_title_is_the_line_that_says_it(texts: list[str], title: str) -> None:
    assert sign_of(*texts).title == title


def test_where_the_log_says_nothing_the_exit_code_is_the_signature() -> None:
    one, other = sign(lines(EXIT)), sign(lines(("error", "Process completed with exit code 137.")))
    assert (one.title, other.title) == ("Process completed with exit code 1.", "Process completed with exit code 137.")
    assert one.id != other.id
    assert sign([]) == Signature(None, None)


def test_lines_of_green_logs_are_no_reason() -> None:
    noise = "Error: retrying in 3 s"
    assert sign_of(noise, "fatal: it broke").title == noise
    green = {fingerprint("Error: retrying in 12 s")}
    assert sign(lines(noise, "fatal: it broke", EXIT), green).title == "fatal: it broke"
    assert sign(lines(noise, EXIT), green) == sign(lines(EXIT))


def test_the_machine_s_failures_are_told_apart() -> None:
    full = sign_of("Error: x", "OSError: [Errno 28] No space left on device: '/tmp/a1'")
    assert full.platform
    assert full.title == "OSError: [Errno 28] No space left on device: '/tmp/a1'"
    assert not sign_of("Error: x").platform


def test_tests_that_fail_in_any_order_are_one_failure() -> None:
    texts = ["FAILED a.py::test_b", "FAILED a.py::test_c"]
    assert sign_of(*texts).id == sign_of(*reversed(texts)).id


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=3), st.integers(0, 2**160))
def test_numbers_and_hashes_never_move_it(numbers: list[int], sha: int) -> None:
    text = "error: step {} of {} took {} ms at {}"
    shown = text.format(*numbers, f"{sha:040x}a1")
    assert normalise(shown) == "error: step # of # took # ms at <hash>"


@given(st.text(max_size=300))
def test_any_text_has_a_normal_form_that_is_its_own(text: str) -> None:
    assert fingerprint(text) == fingerprint(text) < 2**63
    assert "\n" not in normalise(text)


HOSTILE = ["a" * 10**6, "/" * 10**6, "a/" * 5 * 10**5, "1:" * 10**5, " " * 10**6 + "error", "- " * 10**5, "a1" * 10**5]


@pytest.mark.parametrize("text", [*HOSTILE, "E   " * 10**5, "runner " * 10**5])
def test_hostile_lines_cost_no_time(text: str) -> None:
    started, kept = time.process_time(), Kept()
    for number in range(20):
        kept.see(Said(number, None, "info", text))
    sign(kept.lines())
    assert time.process_time() - started < 2


def test_what_is_kept_is_bounded() -> None:
    kept = Kept()
    for number in range(10_000):
        kept.see(Said(number, None, "info", ("Error: x", "it failed", "nothing")[number % 3] + "y" * 5000))
    found = kept.lines()
    assert len(found) <= MOST_ERRORS + MOST_HINTS + MOST_TAIL
    assert found[0].number == 0
    assert found[-1].number == 9999
    assert max(len(line.message) for line in found) < 1100
