"""The rate limits that the simulator keeps, and what it counted."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Limits:
    """One hourly window a token, and windows in which no call may come (each counted when one does)."""

    limit: int = 5000
    used: Counter[str] = field(default_factory=Counter)
    window_end: dict[str, int] = field(default_factory=dict)
    forbidden_until: dict[str, float] = field(default_factory=dict)
    exhausted: bool = False

    def reset_at(self, token: str, now: int) -> int:
        """Return when this token's window ends; begin a new one where the last is over."""
        if now >= self.window_end.get(token, 0):
            self.window_end[token] = now + 3600
            self.used[token] = 0
            self.exhausted = False
        return self.window_end[token]

    def remaining(self, token: str) -> int:
        return 0 if self.exhausted else max(0, self.limit - self.used[token])

    def headers(self, token: str, now: int) -> dict[str, str]:
        reset = self.reset_at(token, now)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining(token)),
            "X-RateLimit-Used": str(min(self.limit, self.used[token])),
            "X-RateLimit-Reset": str(reset),
            "X-RateLimit-Resource": "core",
        }


@dataclass
class Counters:
    """What was called. `counted` are the calls that cost budget; `forbidden` came inside a window that was announced."""

    calls: int = 0
    counted: int = 0
    not_modified: int = 0
    forbidden: int = 0
    by_route: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    by_token: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, object]:
        return {
            "calls": self.calls, "counted": self.counted, "not_modified": self.not_modified, "forbidden": self.forbidden,
            "by_route": dict(self.by_route), "by_status": {str(k): v for k, v in self.by_status.items()},
            "by_token": dict(self.by_token),
        }  # fmt: skip
