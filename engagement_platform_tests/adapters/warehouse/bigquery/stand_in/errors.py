"""Errors of the API and of jobs. https://cloud.google.com/bigquery/docs/error-messages"""

from typing import Any

STATUS = {
    "accessDenied": 403,
    "backendError": 503,
    "duplicate": 409,
    "internalError": 500,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "required": 400,
    "authError": 401,
    "conditionNotMet": 412,
    "notImplemented": 501,
}


class ApiError(Exception):
    """An answer other than 200: a reason of the table on that page, its HTTP code and a message."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        self.message = message
        super().__init__(message)

    @property
    def status(self) -> int:
        return STATUS[self.reason]

    def body(self) -> dict[str, Any]:
        error = {"reason": self.reason, "message": self.message, "domain": "global"}
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}


class JobError(Exception):
    """Why a job ended without effect: `errorResult`, and the errors of its rows."""

    def __init__(self, reason: str, message: str, errors: list[dict[str, str]] | None = None) -> None:
        self.result = {"reason": reason, "message": message}
        self.errors = [self.result, *(errors or [])]
        super().__init__(message)
