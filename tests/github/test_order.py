"""Who may call next, and when nobody: the breaker, the turnstile and the shared flight."""

import threading

import pytest

from pipemon.github.breaker import Breaker
from pipemon.github.errors import Unreachable
from pipemon.github.flight import SingleFlight
from pipemon.github.turnstile import Turnstile


def test_G1_pauses_grow_with_jitter_and_one_answer_ends_them() -> None:
    now = 0.0
    breaker = Breaker(lambda: now, lambda low, high: high)
    pauses = []
    for _ in range(10):
        breaker.failed("the connection was refused")
        began = now
        while True:
            try:
                breaker.admit()
                break
            except Unreachable as error:
                assert "refused" in error.cause
                now += 0.5
        pauses.append(now - began)
    assert pauses == [0, 0, 5, 10, 20, 40, 80, 120, 120, 120]
    assert "10 calls in a row" in (breaker.trouble or "")
    breaker.succeeded()
    breaker.admit()
    assert breaker.trouble is None
    breaker.failed("again")
    breaker.admit()
    assert breaker.trouble is None


def test_G1_the_pauses_of_many_installations_are_spread() -> None:
    breakers = [Breaker(lambda: 0.0) for _ in range(50)]
    for breaker in breakers:
        for _ in range(3):
            breaker.failed("x")
    ends = {breaker._pause_until for breaker in breakers}
    assert len(ends) == 50
    assert min(ends) >= 2.5
    assert max(ends) <= 5


def test_a_turn_given_up_while_waiting_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    turnstile = Turnstile()
    waiting, passed = threading.Event(), threading.Event()

    def broken(timeout: float | None = None) -> bool:
        waiting.set()
        raise KeyboardInterrupt

    with turnstile.turn("poll"):
        with monkeypatch.context() as patch:
            patch.setattr(turnstile._free, "wait", broken)
            with pytest.raises(KeyboardInterrupt), turnstile.turn("people"):
                pass

        def poll() -> None:
            with turnstile.turn("poll"):
                passed.set()

        thread = threading.Thread(target=poll)
        thread.start()
        assert not passed.wait(0.05)
    thread.join(2)
    assert waiting.is_set()
    assert passed.is_set()


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_those_who_joined_share_an_error_but_are_not_stopped_with_the_first(error: BaseException) -> None:
    flights = SingleFlight[int]()
    began, go = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    results: list[int] = []

    def work() -> int:
        if began.is_set():
            return 7
        began.set()
        go.wait(2)
        raise error

    def call() -> None:
        try:
            results.append(flights.fly("a", work))
        except BaseException as raised:
            caught.append(raised)

    threads = [threading.Thread(target=call) for _ in range(3)]
    threads[0].start()
    began.wait(2)
    for thread in threads[1:]:
        thread.start()
    while len(flights._under_way["a"]._condition._waiters) < 2:  # type: ignore[attr-defined]
        pass
    go.set()
    for thread in threads:
        thread.join(2)
    if isinstance(error, Exception):
        assert caught == [error] * 3
    else:
        assert (caught, results) == ([error], [7, 7])  # one of the others did the work
    assert flights.fly("a", lambda: 5) == 5
