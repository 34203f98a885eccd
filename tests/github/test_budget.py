"""The gate: every limit of GitHub's, told apart, obeyed, and remembered over a restart."""

import random
from dataclasses import dataclass, field
from email.utils import formatdate

import pytest

from pipemon.github.budget import Gate, Limits
from pipemon.github.clock import GitHubClock, parse_http_date
from pipemon.github.errors import BudgetSpent, LimitReached
from pipemon.github.verdict import is_limit

T0 = 1_760_000_000
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again"
PRIMARY = "API rate limit exceeded for user ID 1."


@dataclass
class World:
    """True time, the local clock that may be wrong, and the monotonic one; and what the database holds."""

    now: float = T0
    local_error: float = 0.0
    booted: float = T0 - 1000.0
    row: dict[str, Limits] = field(default_factory=dict)
    saves: int = 0

    def local(self) -> float:
        return self.now + self.local_error

    def monotonic(self) -> float:
        return self.now - self.booted

    def save(self, limits: Limits) -> None:
        self.saves += 1
        self.row[limits.token_hash] = limits

    def gate(self) -> Gate:
        """A new process."""
        return Gate(lambda: "a" * 16, self.row.get, self.save, self.local, self.monotonic)

    def headers(
        self, remaining: int = 4000, limit: int = 5000, reset: float | None = None, **more: str
    ) -> dict[str, str]:
        reset = T0 + 3600 if reset is None else reset
        return {
            "Date": formatdate(int(self.now), usegmt=True),
            "X-RateLimit-Limit": str(limit),
            "x-ratelimit-remaining": str(remaining),
            "X-Ratelimit-Reset": str(int(reset)),
            **{name.replace("_", "-"): value for name, value in more.items()},
        }


@pytest.fixture
def world() -> World:
    return World()


def first_call(world: World, gate: Gate, purpose: str = "people", patience: int = 200_000) -> float:
    """Let time pass until the gate admits, asking every second; return when that was."""
    end = world.now + patience
    while world.now < end:
        try:
            gate.admit(purpose)
        except LimitReached as limit:
            world.now += 1 if limit.until - gate.github_time() < 100 else 50
        else:
            return world.now
    raise AssertionError("never admitted")


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("local_error", [-3600.0, -90.0, 0.0, 90.0, 3600.0])
def test_G2_primary_limit_waits_until_the_reset_also_after_a_restart(
    world: World, status: int, local_error: float
) -> None:
    world.local_error = local_error
    gate = world.gate()
    rng = random.Random(status + int(local_error))
    for episode in range(20):
        gate.admit("people")
        reset = world.now + rng.randint(5, 3600)
        limit = gate.observe(status, world.headers(0, reset=reset), PRIMARY, 0.1)
        assert limit is not None
        if episode % 2:
            world.now += rng.random() * (reset - world.now)
            gate = world.gate()  # killed: the new process knows what was stored
        admitted = first_call(world, gate)
        assert reset <= admitted <= reset + 4, f"window until {reset}, called at {admitted}"
        gate.observe(200, world.headers(5000, reset=reset + 3600), "", 0.1)
        world.now += 10


def test_G2_without_the_stored_window_a_restart_would_call_into_it(world: World) -> None:
    world.gate().observe(403, world.headers(0), PRIMARY)
    world.row.clear()
    world.gate().admit("people")  # the control: only what was stored keeps the new process from it


def test_G2_remaining_0_on_a_good_answer_closes_the_gate_before_github_has_to_say_no(world: World) -> None:
    gate = world.gate()
    gate.observe(200, world.headers(0))
    with pytest.raises(LimitReached) as caught:
        gate.admit("people")
    assert caught.value.until == T0 + 3601


DATE = object()
# (status, headers beside the usual, remaining, message, seconds until the next call may come)
VARIANTS = [
    (403, {"Retry-After": "60"}, 4000, SECONDARY, 60),
    (429, {"Retry-After": "8"}, 4000, SECONDARY, 8),
    (403, {"retry-after": "17"}, 4000, "", 17),
    (403, {"Retry-After": DATE}, 4000, SECONDARY, 90),
    (429, {"Retry-After": DATE}, 4000, "", 90),
    (403, {}, 4000, SECONDARY, 60),
    (429, {}, 4000, "", 60),
    (403, {"Retry-After": "soon"}, 4000, SECONDARY, 60),
    (403, {"Retry-After": "-5"}, 4000, SECONDARY, 60),
    (403, {"Retry-After": "0"}, 4000, SECONDARY, 1),
    (403, {"Retry-After": "99999999999999999999"}, 4000, SECONDARY, 60),
    (403, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 4000, SECONDARY, 60),
    (403, {"Retry-After": "²"}, 4000, SECONDARY, 60),
    (403, {}, 0, SECONDARY, 3600),
    (403, {}, 0, "", 3600),
    (403, {"Retry-After": "60"}, 0, SECONDARY, 3600),
    (403, {}, 4000, "You have triggered an abuse detection mechanism. Please wait a few minutes", 60),
    (403, {"gh-limited-by": "search-elapsed-time-shared-grouped"}, 4000, SECONDARY, 60),
]


@pytest.mark.parametrize(("status", "more", "remaining", "message", "wait"), VARIANTS)
@pytest.mark.parametrize("restart", [False, True])
def test_G3_every_header_variant_of_a_limit_is_obeyed(
    world: World, status: int, more: dict[str, object], remaining: int, message: str, wait: int, restart: bool
) -> None:
    more = {name: formatdate(T0 + 90, usegmt=True) if text is DATE else text for name, text in more.items()}
    gate = world.gate()
    limit = gate.observe(status, {**world.headers(remaining), **more}, message)
    assert limit is not None
    gate = world.gate() if restart else gate
    admitted = first_call(world, gate)
    assert T0 + wait <= admitted <= T0 + wait + 3


def test_G3_without_a_header_the_wait_doubles_and_a_good_answer_ends_that(world: World) -> None:
    gate = world.gate()
    waits = []
    for _ in range(9):
        began = world.now
        gate.observe(403, world.headers(), SECONDARY)
        gate = world.gate()  # the count of strikes outlives the process
        waits.append(round(first_call(world, gate) - began))
    assert [wait // 60 for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    gate.observe(200, world.headers(reset=world.now + 3600))
    began = world.now
    gate.observe(403, world.headers(), SECONDARY)
    assert round(first_call(world, gate) - began) // 60 == 1


# What GitHub has answered to 403, and whether it is a limit.
MESSAGES = [
    ("Must have admin rights to Repository.", False),
    ("Resource not accessible by integration", False),
    ("Resource not accessible by personal access token", False),
    ("Unable to retry this workflow run because it was created over a month ago", False),
    ("Resource protected by organization SAML enforcement. You must grant your token access.", False),
    (
        "Although you appear to have the correct authorization credentials, the `o` organization has an IP allow list",
        False,
    ),
    ("Repository access blocked", False),
    ("Request forbidden by administrative rules.", False),
    ("Sorry. Your account was suspended.", False),
    (PRIMARY, True),
    ("API rate limit exceeded for installation ID 5.", True),
    (SECONDARY, True),
    ("You have exceeded a secondary rate limit and have been temporarily blocked from content creation.", True),
    ("You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.", True),
]


@pytest.mark.parametrize(("message", "limited"), MESSAGES)
@pytest.mark.parametrize("remaining", ["4000", "0", None])
def test_G4_a_permission_is_told_from_a_limit_by_its_words(message: str, limited: bool, remaining: str | None) -> None:
    headers = {} if remaining is None else {"x-ratelimit-remaining": remaining}
    assert is_limit(403, headers, message) is limited
    assert not is_limit(404, headers, message)
    assert is_limit(429, headers, message)


def test_G5_a_tenth_is_kept_for_people_and_polling_is_kept_from_history(world: World) -> None:
    gate = world.gate()

    def admitted(remaining: int, seconds_left: int) -> list[str]:
        gate.observe(200, world.headers(remaining, limit=200, reset=world.now + seconds_left))
        found = []
        for purpose in ("people", "poll", "backfill"):
            try:
                gate.admit(purpose)
            except BudgetSpent:
                continue
            except LimitReached:
                break
            found.append(purpose)
        return found

    assert admitted(200, 3600) == ["people", "poll", "backfill"]
    assert admitted(110, 3600) == ["people", "poll"]  # half of 180 is kept for the hour that polling has before it
    assert admitted(112, 3600) == ["people", "poll", "backfill"]
    assert admitted(67, 1800) == ["people", "poll", "backfill"]  # half of the hour, half as much
    assert admitted(60, 1800) == ["people", "poll"]
    assert admitted(20, 1800) == ["people"]
    assert admitted(1, 1800) == ["people"]
    assert admitted(0, 1800) == []


def test_G5_history_is_told_when_to_come_back(world: World) -> None:
    gate = world.gate()
    gate.observe(200, world.headers(60, limit=200, reset=world.now + 1800))
    with pytest.raises(BudgetSpent) as caught:
        gate.admit("backfill")
    assert world.now < caught.value.until <= T0 + 1800
    world.now = caught.value.until
    gate.admit("backfill")


def test_G5_the_reserve_is_back_when_the_window_has_ended(world: World) -> None:
    gate = world.gate()
    gate.observe(200, world.headers(3))
    with pytest.raises(BudgetSpent):
        gate.admit("poll")
    world.now = T0 + 3602
    gate.admit("poll")
    assert gate.limits is not None
    assert gate.limits.remaining is None


@pytest.mark.parametrize("step", [-3600.0, 3600.0, -7.0, 86_400.0])
@pytest.mark.parametrize("restart", [False, True])
def test_G9_a_step_of_the_local_clock_moves_no_wait(world: World, step: float, restart: bool) -> None:
    gate = world.gate()
    gate.observe(200, world.headers())
    gate.observe(403, world.headers(), SECONDARY)
    world.now += 6
    world.local_error += step
    with pytest.raises(LimitReached):
        gate.admit("poll")
    world.now += 6
    gate = world.gate() if restart else gate
    assert T0 + 60 <= first_call(world, gate) <= T0 + 64
    assert abs(gate.github_time() - world.now) < (2 if not restart else abs(step) + 2)


@pytest.mark.parametrize("local_error", [-3600.0, 0.0, 3600.0])
def test_G9_github_time_is_githubs_whatever_the_local_clock_says(world: World, local_error: float) -> None:
    world.local_error = local_error
    gate = world.gate()
    for _ in range(50):
        world.now += 13.37
        gate.observe(200, world.headers(), "", 0.2)
        assert -1.0 <= gate.github_time() - world.now <= 0.0


def test_a_save_that_fails_is_made_up_for_and_stops_nothing(world: World) -> None:
    broken = True

    def save(limits: Limits) -> None:
        if broken:
            raise OSError("disk full")
        world.save(limits)

    gate = Gate(lambda: "a" * 16, world.row.get, save, world.local, world.monotonic)
    gate.observe(403, world.headers(), SECONDARY)
    with pytest.raises(LimitReached):
        gate.admit("poll")
    broken = False
    gate.observe(200, world.headers())
    assert world.row["a" * 16].blocked_until is not None


def test_another_process_window_is_obeyed_within_seconds(world: World) -> None:
    mine, other = world.gate(), world.gate()
    mine.observe(200, world.headers())
    other.observe(403, world.headers(), SECONDARY)
    world.now += 6
    with pytest.raises(LimitReached):
        mine.admit("people")


def test_an_idle_answer_is_not_written_each_time(world: World) -> None:
    gate = world.gate()
    for _ in range(100):
        world.now += 1
        gate.observe(304, world.headers())
    assert world.saves <= 11


def test_the_limits_of_another_token_are_others(world: World) -> None:
    name = "a" * 16
    gate = Gate(lambda: name, world.row.get, world.save, world.local, world.monotonic)
    gate.observe(403, world.headers(), SECONDARY)
    name = "b" * 16
    gate.admit("poll")
    name = "a" * 16
    with pytest.raises(LimitReached):
        gate.admit("poll")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining": "-1"},
        {"x-ratelimit-remaining": "many"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999999999"},
        {"x-ratelimit-remaining": "٣"},
        {"date": "yesterday"},
        {"date": "Mon, 99 Nov 2026 99:99:99 GMT"},
        {"date": "Mon, 01 Jan 9999 00:00:00 +9999"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999", "x-ratelimit-limit": "0"},
    ],
)
def test_absurd_headers_close_the_gate_for_two_hours_at_most(world: World, headers: dict[str, str]) -> None:
    gate = world.gate()
    gate.observe(200, headers)
    first_call(world, gate, patience=3 * 3600)


def test_the_limit_of_another_resource_is_not_ours(world: World) -> None:
    gate = world.gate()
    gate.observe(200, world.headers(0, x_ratelimit_resource="search"))
    gate.admit("backfill")


@pytest.mark.parametrize("text", [None, "", "x" * 100, "Mon", "\ud800", "Sun, 06 Nov 1994 08:49:37 GMT", "1, 2, 3"])
def test_what_is_no_date_of_now_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None


def test_the_clock_is_never_ahead_of_github() -> None:
    now = 0.0
    clock = GitHubClock(lambda: 5e9, lambda: now)
    rng = random.Random(1)
    for _ in range(300):
        now += rng.random() * 60
        true = T0 + now
        latency = rng.random()
        clock.observe(int(true - latency * rng.random()), latency)
        assert true - 3 <= clock.now() <= true + 1e-6


def test_after_a_pause_of_the_whole_machine_the_next_answer_sets_the_clock_right() -> None:
    now = 0.0  # a monotonic clock stands still while a machine sleeps
    clock = GitHubClock(lambda: T0, lambda: now)
    clock.observe(T0, 0.1)
    clock.observe(T0 + 36_000, 0.1)
    assert clock.now() == T0 + 36_000
    clock.observe(T0 + 50, 0.1)
    assert clock.now() == T0 + 50
