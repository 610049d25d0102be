"""The OpenAPI document of the API, made from the operations: what it says is what the program checks and answers by."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from engagement_platform import __version__
from engagement_platform.console.serve.api.operation import Operation, Parameters
from engagement_platform.console.serve.api.problem import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_TOKEN = "token"  # noqa: S105  # the name of the scheme
Json = dict[str, Any]

MEANINGS = {
    400: "A parameter, or the body, is not as it has to be.",
    401: "A token is needed, and there is none, or another one.",
    403: "No token is set, so nothing can be changed; or the request comes from another site.",
    404: "What was asked for is not there.",
    413: "The body is too large.",
    429: "Too many wrong tokens came from this address.",
    500: "A setting is at fault, or the program: the text says which.",
    503: "A server that is needed does not answer.",
}
"""What statuses mean, unless an operation says it more precisely."""


def document(operations: Iterable[Operation], examples: Mapping[str, list[str]]) -> Json:
    """Return the document. `examples` are values that parameters can have here: name -> values."""
    operations = list(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, examples)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "engagement-platform",
            "version": __version__,
            "description": "How the streams stand, what is popular, the days of the warehouse, and what an operator "
            "may do about it. Times are RFC 3339 in UTC, durations are seconds. See docs/api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(_types(operations)),
            "securitySchemes": {
                _TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of ENGAGEMENT_PAGE_TOKEN. Without one nothing can be changed.",
                }
            },
        },
    }


def _types(operations: Iterable[Operation]) -> list[Any]:
    found = [kind for operation in operations for kind in (operation.answer, operation.body) if kind is not None]
    return [*dict.fromkeys([Problem, *found])]


def _schemas(kinds: list[Any]) -> Json:
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return components


def _described(operation: Operation, examples: Mapping[str, list[str]]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*_parameters(operation, examples)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        (schema,), _ = msgspec.json.schema_components([operation.body], ref_template=_REF)
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.changes:
        described["security"] = [{_TOKEN: []}]
    if operation.keyed:
        described["parameters"].append(_IDEMPOTENCY_KEY)
    return described


_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A text of your own. A request that comes again with it within a day is not carried out twice.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,100}$"},
}


def _parameters(operation: Operation, examples: Mapping[str, list[str]]) -> Iterable[Json]:
    in_path = set(re.findall(r"\{(\w+)", operation.path))
    schema = _inline(operation.parameters)
    for name, described in schema.get("properties", {}).items():
        shown = {"examples": {value: {"value": value} for value in examples[name]}} if examples.get(name) else {}
        description = described.pop("description", "")
        yield {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in schema.get("required", ()),
            "description": description,
            "schema": described,
            **shown,
        }


def _inline(kind: type[Parameters]) -> Json:
    """Return the schema of parameters. A parameter that is left out has no value in a URL, so none is null."""
    schema: Json = msgspec.json.schema_components([kind], ref_template=_REF)[1].get(kind.__name__, {})
    return schema | {"properties": {name: _not_null(each) for name, each in schema.get("properties", {}).items()}}


def _not_null(schema: Json) -> Json:
    if "anyOf" not in schema:
        return dict(schema)
    (only,) = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return {**only, **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}


def _responses(operation: Operation) -> Json:
    (schema,), _ = msgspec.json.schema_components([operation.answer], ref_template=_REF)
    answered = {
        "description": HTTPStatus(operation.status).phrase,
        "content": {"application/json": {"schema": schema}},
    }
    refusals = {status: MEANINGS[status] for status in (400, 500, 503)} | dict(operation.refusals)
    if operation.body is not None:
        refusals.setdefault(413, MEANINGS[413])
    if "stream" in operation.parameters.__struct_fields__:
        refusals.setdefault(404, MEANINGS[404])
    if operation.changes:
        refusals |= {status: MEANINGS[status] for status in (401, 403, 429)}
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {str(operation.status): answered} | {
        str(status): {"description": what, "content": problem} for status, what in sorted(refusals.items())
    }
