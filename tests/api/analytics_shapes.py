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
SPREAD = {"n": int, "median": NUMBER, "p90": NUMBER}
LEVEL = dict.fromkeys(("deployment_frequency", "lead_time", "change_failure_rate", "time_to_restore"), TEXT)
KEYS = {
    "deployment_frequency_per_day": NUMBER, "lead_time_minutes": (SPREAD, None), "change_failure_rate": NUMBER,
    "time_to_restore_minutes": NUMBER, "dora_level": (LEVEL, None),
}  # fmt: skip
CHANGE = ({"absolute": float, "relative": NUMBER}, None)
KEY_CHANGES = {name: CHANGE for name in KEYS if name != "dora_level"}
KEY_CHANGES["lead_time_minutes"] = ({"median": CHANGE[0], "p90": CHANGE}, None)  # type: ignore[assignment]
OVERVIEW = FRAME | NUMBERS | {
    "recovered_incidents": int,
    "most_active_branch": TEXT, "most_active_author": TEXT,
    "previous": NUMBERS | {
        "n": int, "created_from": "time", "created_to": "time", "complete": bool, "builds_url": str,
        "recovered_incidents": int,
    } | KEYS,
    "change": (dict.fromkeys(NUMBERS, CHANGE) | KEY_CHANGES, None), "unavailable": dict,
} | KEYS  # fmt: skip
COUNTED_KEYS = KEYS | {
    "deployments": int, "deploy_days_per_week": NUMBER, "changes": int, "failed_changes": int, "recoveries": int,
    "unavailable": dict,
}  # fmt: skip
FAILURE = {
    "deployment_id": int, "commit_sha": str, "failed_at": "time", "why": str, "marked_by": WHOLE,
    "recovered_by": WHOLE, "recovered_at": TIME, "recovery_minutes": NUMBER,
}  # fmt: skip
FLAKY_JOB = {
    "repository": str, "workflow": str, "workflow_id": int, "name": str, "n": int, "flaky": int, "flake_rate": float,
    "flake_rate_low": float, "flake_rate_high": float, "platform_failures": int, "builds_url": str,
    "commits": [{"commit_sha": str, "failed_build_id": int, "succeeded_build_id": int}],
}  # fmt: skip
FLAKY = FRAME | {"flake_rate": float, "flaky": int, "platform_failures": int, "flaky_jobs": [FLAKY_JOB]}
WAITS = {"n": int, **dict.fromkeys(("median_seconds", "p90_seconds", "p95_seconds", "max_seconds"), NUMBER)}
HOURS = [WAITS | {"hour": int}]
QUEUE = FRAME | {"tz": str, "whole": WAITS, "hours": HOURS, "labels": [WAITS | {"labels": [str], "hours": HOURS}]}
BILL = {
    "minutes": int, "billable_minutes": int, "unpriced_minutes": int, "estimated_cost": float, "useful_cost": float,
    "wasted_cost": float, "useful_minutes": int, "wasted_minutes": int,
}  # fmt: skip
SPENT = {"jobs": int, "minutes": int, "billable_minutes": int, "estimated_cost": float}
COST = FRAME | BILL | {
    "currency": str, "wasted": dict.fromkeys(("failed", "cancelled", "rerun", "superseded"), SPENT),
    "workflows": [BILL | {"repository": str, "workflow": str, "workflow_id": int, "builds_url": str}],
    "labels": [BILL | {"labels": [str], "price_per_minute": NUMBER}],
}  # fmt: skip
DORA = {name: shape for name, shape in FRAME.items() if name != "builds_url"} | COUNTED_KEYS | {
    "environments": [
        COUNTED_KEYS | {
            "repository": str, "environment": str, "source": str, "production": bool, "kinds": dict,
            "without_lead_time": dict, "change_failures": [FAILURE], "open_failures": [FAILURE],
            "deployments_url": str,
        }
    ],
    "previous": COUNTED_KEYS | {"complete": bool}, "change": (KEY_CHANGES, None),
}  # fmt: skip
TRENDS = FRAME | {
    "success_trend": [POINT], "failure_trend": [POINT], "duration_trend": [POINT], "granularity": str, "tz": str,
}  # fmt: skip
DEFINITIONS = {
    "definitions": [
        dict.fromkeys(("id", "name", "unit", "formula", "counts", "leaves_out", "source"), str),
    ],
}  # fmt: skip
INCIDENT = {
    "failure_id": int, "failure_time": "time", "recovery_time": TIME, "recovery_minutes": NUMBER, "branch": TEXT,
    "commit_sha": TEXT, "author": TEXT, "workflow": TEXT, "workflow_id": int, "repository": str, "pull_request": bool,
    "failures": int, "last_green": WHOLE, "recovered_by": WHOLE,
}  # fmt: skip
OPEN = INCIDENT | {"age_minutes": float}
MTTR = FRAME | {
    "overall_mttr_minutes": float, "median_minutes": NUMBER, "p90_minutes": NUMBER, "weekly_mttr": [POINT],
    "failure_incidents": [INCIDENT], "open_incidents": [OPEN], "total_failures": int, "total_incidents": int,
    "tz": str,
}  # fmt: skip
INCIDENTS = FRAME | {"incidents": [INCIDENT], "open_incidents": [OPEN], "total_incidents": int}
SEEN = {"first_seen_at": "time", "last_seen_at": "time", "failures": int, "builds": int}
SIGNATURE = {
    "signature": str, "title": TEXT, "platform": bool, "failures": int, "builds": int, "repositories": [str],
    "workflows": [str], "branches": [str], "jobs": [str], "latest_build_id": int, "first_seen_at": "time",
    "last_seen_at": "time", "builds_url": str,
}  # fmt: skip
SIGNATURES = FRAME | {"signatures": [SIGNATURE], "total_failures": int}
SHARE = {"total_builds": int, "failures": int, "failure_rate": float}
FAILURES = FRAME | {
    "total_failures": int, "failure_rate": float, "failure_by_branch": [SHARE | {"branch": str, "builds_url": str}],
    "failure_by_author": [SHARE | {"author": str, "builds_url": str}],
    "recent_failures": [
        {
            "build_id": int, "conclusion": str, "branch": TEXT, "commit_sha": TEXT, "commit_message": TEXT,
            "author": TEXT, "failed_at": TIME, "duration_minutes": NUMBER, "url": TEXT, "repository": str,
        }
    ],
    "failure_trend": [POINT], "tz": str,
    "failing_jobs": [{"repository": str, "workflow": str, "name": str, "failures": int, "n": int, "builds_url": str}],
    "failing_steps": [
        {"repository": str, "workflow": str, "job": str, "name": str, "failures": int, "last_build_id": int,
         "builds_url": str}
    ],
    "flaky_jobs": [FLAKY_JOB], "signatures": [SIGNATURE],
}  # fmt: skip
MARK = {"build_id": int, "run_number": int, "commit_sha": TEXT, "created_at": "time", "url": TEXT}
REGRESSION = {
    "repository": str, "workflow": str, "workflow_id": int, "job": TEXT, "measure": str, "unit": str, "before": float,
    "after": float, "absolute": float, "relative": NUMBER, "n_before": int, "n_after": int, "z": float, "since": MARK,
    "until": (MARK, None), "builds_url": str,
}  # fmt: skip
REGRESSIONS = FRAME | {"regressions": [REGRESSION], "improvements": [REGRESSION], "workflows": int}
SLOW = {
    "repository": str, "workflow": str, "name": str, "average_minutes": float, "n": int, "critical_path_share": float,
    "builds_url": str,
}  # fmt: skip
PERFORMANCE = FRAME | {
    "average_duration_minutes": float, "median_duration_minutes": float, "p95_duration_minutes": float,
    "fastest_build_minutes": float, "slowest_build_minutes": float, "duration_trend": [POINT],
    "bottlenecks": [
        {
            "build_id": int, "duration_minutes": float, "branch": TEXT, "commit_sha": TEXT, "completed_at": TIME,
            "url": TEXT, "repository": str,
        }
    ],
    "queue_minutes": {"n": int, "median": NUMBER, "p95": NUMBER}, "tz": str,
    "slowest_jobs": [SLOW | {"exclusive_minutes": float}], "slowest_steps": [SLOW | {"job": str}],
    "regressions": [REGRESSION],
}  # fmt: skip
COMPARISON = FRAME | {
    "workflows": [
        {
            "workflow_name": str, "workflow_id": int, "repository": str, "total_runs": int, "success_rate": float,
            "average_duration_minutes": float, "successful_runs": int, "failed_runs": int,
            "p95_duration_minutes": NUMBER, "queue_minutes": NUMBER, "builds_url": str,
            "billable_minutes": WHOLE, "estimated_cost": NUMBER,
        }
    ],

}  # fmt: skip
ANALYTICS: dict[str, dict[str, Any]] = {
    "/api/v1/analytics/definitions": DEFINITIONS,
    "/api/v1/analytics/overview": OVERVIEW,
    "/api/v1/analytics/dora": DORA,
    "/api/v1/analytics/flaky": FLAKY,
    "/api/v1/analytics/regressions": REGRESSIONS,
    "/api/v1/analytics/queue": QUEUE,
    "/api/v1/analytics/cost": COST,
    "/api/v1/analytics/trends": TRENDS,
    "/api/v1/analytics/mttr": MTTR,
    "/api/v1/analytics/incidents": INCIDENTS,
    "/api/v1/analytics/failures": FAILURES,
    "/api/v1/analytics/failures/signatures": SIGNATURES,
    "/api/v1/analytics/performance": PERFORMANCE,
    "/api/v1/analytics/workflows/comparison": COMPARISON,
}
