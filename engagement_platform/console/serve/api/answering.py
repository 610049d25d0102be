"""Makes a route of an operation: reads what is asked by its types, lets it be answered, and says errors as problems."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engagement_platform.console.serve.api import problem
from engagement_platform.console.serve.api.operation import Asked, Operation, Parameters
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.console.serve.work import few_at_once
from engagement_platform.domain.errors import EngagementError

if TYPE_CHECKING:
    from engagement_platform.console.serve.site import Site

LARGEST_BODY = 256 << 10
_KEY = re.compile("[!-~]{1,100}")
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)
K = TypeVar("K", bound=Parameters)


def routes_of(operations: Iterable[Operation], site: "Site", prefix: str) -> list[Route]:
    """Return the routes of operations, below a prefix that stands before them: one for each path, with its methods."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path.removeprefix(prefix), {})[operation.method] = operation
    return [_route(path, methods, site) for path, methods in paths.items()]


def _route(path: str, methods: Mapping[str, Operation], site: "Site") -> Route:
    apps = [operation.app for operation in methods.values() if operation.app is not None]
    if apps:
        (app,) = apps
        return Route(path, app(site), methods=list(methods))

    told = Told()

    async def endpoint(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        return await said_as_problem(lambda: _answer(operation, site, request, told))

    return Route(path, endpoint, methods=list(methods))


async def said_as_problem(answer: Callable[[], Awaitable[Response]]) -> Response:
    """Return an answer, or the problem that keeps it from being given."""
    try:
        return await answer()
    except Refusal as refusal:
        return problem.response(refusal.problem)
    except EngagementError as error:
        return problem.response(problem.problem_of(error))
    except HTTPException as error:
        return of_http(error)
    except Exception:
        _log.exception("The API could not answer.")
        return problem.response(problem.own_fault())


def of_http(error: HTTPException) -> Response:
    """Return what Starlette or the guard refuses, as a problem."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    said = problem.of_status(error.status_code, *_in_words(error, headers.get("allow", "")))
    return problem.response(said, headers)


def _in_words(error: HTTPException, allowed: str) -> tuple[str, str]:
    """Return what happened and what to do, also where Starlette gives the status alone."""
    match error.status_code:
        case HTTPStatus.NOT_FOUND if error.detail == HTTPStatus.NOT_FOUND.phrase:
            return "There is nothing at this address.", "/api/v1/openapi.json lists what there is."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"This address answers {allowed} only.", "/api/v1/openapi.json lists what there is."
    return error.detail, ""


class Told:
    """What was answered over the latest sample: the same for all who ask until the next one."""

    _MOST = 256

    def __init__(self) -> None:
        self._sample: object = None
        self._answers: dict[tuple[str, Parameters], bytes] = {}

    def answer(self, operation: Operation, asked: Asked[Any, Any]) -> bytes:
        """Return the answer, made where there is none yet."""
        sample, key = asked.site.sampler.look(), (operation.name, asked.parameters)
        if self._sample is not sample:
            self._sample, self._answers = sample, {}
        if key not in self._answers and len(self._answers) < self._MOST:
            self._answers[key] = _made(operation, asked)
        return self._answers.get(key) or _made(operation, asked)


def _made(operation: Operation, asked: Asked[Any, Any]) -> bytes:
    assert operation.handle is not None, "an operation has a handle or an app"  # noqa: S101
    return _encode(operation.handle(asked))


async def _answer(operation: Operation, site: "Site", request: Request, told: Told) -> Response:
    who = str(await site.guard.actor(request)) if operation.changes else ""
    pairs = [*request.path_params.items(), *request.query_params.multi_items()]
    asked = Asked(
        site, parameters_of(operation.parameters, pairs), await _body(operation, request), who, _key(request, operation)
    )
    if operation.of_sample:
        body = told.answer(operation, asked)
    elif operation.quick:
        body = _made(operation, asked)
    else:
        body = await few_at_once(lambda: _made(operation, asked), changes=operation.changes)
    return Response(body, operation.status, media_type="application/json")


def parameters_of(kind: type[K], pairs: Iterable[tuple[str, Any]]) -> K:
    """Return parameters of their types. Raises Refusal for those that are not fit, unknown, or there twice."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise Refusal(HTTPStatus.BAD_REQUEST, "unfit-parameter", f"The parameter {name} is there twice.")
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise problem.unfit(error, "parameter") from None


async def _body(operation: Operation, request: Request) -> Any:
    if operation.body is None:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"The body has more than {LARGEST_BODY:,} bytes."
            )
    try:
        return msgspec.json.decode(body, type=operation.body)
    except msgspec.ValidationError as error:
        raise problem.unfit(error, "field") from None
    except msgspec.DecodeError as error:
        what = f"The body is not JSON: {error}."
        raise Refusal(HTTPStatus.BAD_REQUEST, "unfit-body", what) from None


def _key(request: Request, operation: Operation) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None or not operation.keyed:
        return None
    if not _KEY.fullmatch(key):
        what = "The Idempotency-Key has to be 1 to 100 visible characters of ASCII."
        raise Refusal(HTTPStatus.BAD_REQUEST, "unfit-key", what)
    return key
