"""The public fields of `/analytics` and their types."""

from typing import Any

TEXT = (str, None)
WHOLE = (int, None)
NUMBER = (float, None)
TIME = ("time", None)
POINT = {"timestamp": "time", "value": float, "n": int}
FRAME: dict[str, Any] = {
    "timestamp": "time", "data_state": str, "period_days": int, "n": int,
    "excluded": [{"reason": str, "count": int}], "builds_url": str, "definitions": dict,
    "coverage": {
        "complete": bool, "gaps": [{"repository": str, "created_from": "time", "created_to": "time"}],
    },
}  # fmt: skip
NUMBERS = {
    "total_builds": int, "success_rate": float, "failure_rate": float, "first_attempt_success_rate": NUMBER,
    "average_duration_minutes": float, "mttr_minutes": float, "builds_per_day": float,
}  # fmt: skip
CHANGE = ({"absolute": float, "relative": NUMBER}, None)
OVERVIEW = FRAME | NUMBERS | {
    "most_active_branch": TEXT, "most_active_author": TEXT,
    "previous": NUMBERS | {
        "n": int, "created_from": "time", "created_to": "time", "complete": bool, "builds_url": str,
    },
    "change": (dict.fromkeys(NUMBERS, CHANGE), None),
    "deployment_frequency_per_day": None, "lead_time_minutes": None, "change_failure_rate": None,
    "time_to_restore_minutes": None, "dora_level": None, "unavailable": dict,
}  # fmt: skip
TRENDS = FRAME | {
    "success_trend": [POINT], "failure_trend": [POINT], "duration_trend": [POINT], "granularity": str, "tz": str,
}  # fmt: skip
DEFINITIONS = {
    "definitions": [
        dict.fromkeys(("id", "name", "unit", "formula", "counts", "leaves_out", "source"), str),
    ],
}  # fmt: skip
ANALYTICS: dict[str, dict[str, Any]] = {
    "/api/v1/analytics/definitions": DEFINITIONS,
    "/api/v1/analytics/overview": OVERVIEW,
    "/api/v1/analytics/trends": TRENDS,
}
