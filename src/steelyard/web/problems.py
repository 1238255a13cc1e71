"""Errors as the service says them: problem details (RFC 9457) with our own parts of an error."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from steelyard.app.fleet.errors import RefusedError, UnknownTaskError, UnknownWorkerError
from steelyard.kernel.errors import (
    EXIT_BUG,
    FileError,
    PluginError,
    SteelyardError,
    UsageError,
)
from steelyard.runtime.fleet.ports import LedgerGoneError, LostLeadershipError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("steelyard.web")
_STATUS: tuple[tuple[type[SteelyardError], int], ...] = (
    (UnknownTaskError, 404),
    (UnknownWorkerError, 404),
    (RefusedError, 409),
    (LostLeadershipError, 503),
    (LedgerGoneError, 503),
    (FileError, 507),
    (UsageError, 422),
    (PluginError, 422),
)
"""The first that fits counts; all others are ours to mend: 500."""


class RequestError(SteelyardError):
    """A request that can't be answered as it is.

    Args:
        status: of HTTP.
        headers: of the answer, beside its own.
        rest: the parts of an error.
    """

    def __init__(
        self, status: int, what: str, *, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> None:
        self.status, self.headers = status, dict(headers or {})
        super().__init__(what, **rest)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is answered instead of what was wanted.

    Attributes:
        type: always `about:blank`: title and status say it.
        title: the status in words.
        detail: what went wrong.
        got, expected, next_step: what was found, what would have done, what to do now.
        problems: each mistake, where there are several.
        exit_code: what a command line ends with because of it.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    got: str = ""
    expected: str = ""
    next_step: str = ""
    problems: tuple[str, ...] = ()
    exit_code: int = 2


def response_of(error: SteelyardError) -> Response:
    """Return the answer that an error is."""
    status, headers = 500, {}
    if isinstance(error, RequestError):
        status, headers = error.status, error.headers
    else:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
    problem = Problem(
        title=_title(status), status=status, detail=error.what, expected=error.expected or "",
        got="" if error.got is None else str(error.got)[:500], next_step=error.next_step or "",
        problems=tuple(getattr(error, "problems", ())), exit_code=_exit_code(error, status),
    )  # fmt: skip
    return _response(problem, headers)


def _exit_code(error: SteelyardError, status: int) -> int:
    return 2 if error.exit_code == EXIT_BUG and status < 500 else error.exit_code


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _response(problem: Problem, headers: Mapping[str, str]) -> Response:
    # `omit_defaults` leaves the type out, and RFC 9457 reads that as about:blank.
    body = msgspec.json.encode(problem)
    return Response(body, problem.status, headers=dict(headers), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have every error of an app be answered as a problem."""
    app.add_exception_handler(SteelyardError, _known)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _known(_: Request, error: Exception) -> Response:
    if not isinstance(error, SteelyardError):
        raise error
    response = response_of(error)
    if response.status_code >= 500:
        _log.error("a request failed: %s", error)
    return response


async def _http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    title = _title(error.status_code)
    problem = Problem(title=title, status=error.status_code, detail=str(error.detail))
    return _response(problem, error.headers or {})


async def _invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = tuple(
        f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}"
        for each in error.errors()  # the first part is where it stood: the query, the path
    )
    problem = Problem(
        title=_title(422), status=422, detail="The request has mistakes", problems=problems
    )
    return _response(problem, {})


async def _unexpected(_: Request, error: Exception) -> Response:
    _log.error("a request met a bug", exc_info=error)
    problem = Problem(
        title=_title(500), status=500, detail="The service met a bug; its log says more",
        exit_code=EXIT_BUG,
    )  # fmt: skip
    return _response(problem, {})
