"""The HTTP side: routes, uploads, pages of answers, tokens. One server is one project."""

import contextlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import ApiError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.faults import Faults
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.jobs import Jobs, Run, raised
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.quotas import Quotas
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.tables import Tables
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.values import cell

_API = "/bigquery/v2/projects/([^/]+)"
_WAIT_SECONDS = 5.0


class StandIn:
    """A server on a free port of this machine, and what a test may set."""

    def __init__(self, project: str = "a-project") -> None:
        self.project = project
        self.faults = Faults()
        self.quotas = Quotas()
        self.tables = Tables(project)
        self.jobs = Jobs(self.tables, self.quotas, self.faults)
        self.token: str | None = None
        """The only bearer token that is accepted; None: anybody may come."""
        self.issued = "a-token"
        """What the token endpoint issues."""
        self.issues_tokens = True
        """Whether the token endpoint accepts keys. https://developers.google.com/identity/protocols/oauth2"""
        self.page_rows = 2_000
        self.bugs: list[Exception] = []
        """What went wrong in the stand-in itself, whose requests were not answered."""
        self._uploads: dict[str, tuple[dict[str, Any], bytearray]] = {}
        self._uploaded: dict[str, Run] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stand_in": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        for event in self.faults.held:
            event.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.tables.engine.close()

    # What each method of the API answers: (path's parts, parameters of the URL, body)

    def route(self, verb: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, Any, Any]:
        """Return status, headers and body of the answer."""
        if path == "/token":
            return 200, {}, self._issue_token()
        if self.token is not None and headers.get("Authorization") != f"Bearer {self.token}":
            raise ApiError("authError", "Request had invalid authentication credentials.")
        if query.get("uploadType") == "resumable" and verb == "POST":
            path = path.replace("/upload/", "/resumable/", 1)
        for pattern, method, answer in self._routes():
            found = re.fullmatch(pattern, f"{verb} {path}")
            if found is not None:
                self._order(method)
                project, *rest = found.groups()
                if project != self.project:
                    raise ApiError("accessDenied", f"Access Denied: Project {project}: User does not have permission")
                try:
                    result = answer(*rest, query=query, body=body, headers=headers)
                finally:
                    self._drop(method)
                return result if isinstance(result, tuple) else (200, {}, result)
        raise ApiError("notImplemented", f"The stand-in has no {verb} {path}")

    def _drop(self, method: str) -> None:
        if self.faults.dropped[method] > 0:
            self.faults.dropped[method] -= 1
            raise Dropped

    def _order(self, method: str) -> None:
        self.faults.seen[method] += 1
        if self.faults.refused_once.get(method):
            raise ApiError(*self.faults.refused_once[method].pop(0))
        if method in self.faults.refused:
            raise ApiError(*self.faults.refused[method])

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., Any]]]:
        dataset, table = f"{_API}/datasets/([^/]+)", f"{_API}/datasets/([^/]+)/tables/([^/]+)"
        yield f"GET {dataset}", "datasets.get", lambda name, **_: self._locked(self.tables.dataset, name)
        yield f"POST {_API}/datasets", "datasets.insert", self._create_dataset
        yield f"GET {table}", "tables.get", lambda *names, **_: self._locked(self.tables.shown, *names)
        yield f"POST {dataset}/tables", "tables.insert", self._create_table
        yield f"GET {dataset}/tables", "tables.list", self._list_tables
        yield f"PATCH {table}", "tables.patch", self._change_table
        yield f"DELETE {table}", "tables.delete", lambda *names, **_: self._locked(self.tables.delete_table, *names)
        yield f"POST {_API}/jobs", "jobs.insert", lambda body, **_: self.jobs.insert(json.loads(body)).resource
        yield f"GET {_API}/jobs/([^/]+)", "jobs.get", self._get_job
        yield f"GET {_API}/queries/([^/]+)", "jobs.getQueryResults", self._results
        yield f"POST /upload{_API}/jobs", "jobs.insert", self._upload
        yield f"POST /resumable{_API}/jobs", "uploads.begin", self._begin_upload
        yield f"PUT /upload{_API}/jobs", "jobs.insert", self._upload_chunk

    def _locked(self, act: Callable[..., Any], *names: str) -> Any:
        with self.tables.lock:
            return act(*names)

    def _create_dataset(self, body: bytes, **_: Any) -> Any:
        with self.tables.lock:
            return self.tables.create_dataset(json.loads(body))

    def _create_table(self, dataset: str, body: bytes, **_: Any) -> Any:
        with self.tables.lock:
            return self.tables.create_table(dataset, json.loads(body)).resource

    def _list_tables(self, dataset: str, **_: Any) -> Any:
        with self.tables.lock:
            return {"tables": [stored.resource for stored in self.tables.of_dataset(dataset)]}

    def _change_table(self, dataset: str, name: str, body: bytes, headers: Any, **_: Any) -> Any:
        with self.tables.lock:
            return self.tables.change_table(dataset, name, json.loads(body), headers.get("If-Match")).resource

    def _get_job(self, job_id: str, query: dict[str, str], **_: Any) -> Any:
        return self.jobs.get(job_id, query.get("location")).resource

    def _results(self, job_id: str, query: dict[str, str], **_: Any) -> Any:
        """https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults"""
        run = self.jobs.get(job_id, query.get("location"))
        reference = run.resource["jobReference"]
        if not run.ended.wait(min(int(query.get("timeoutMs", 10_000)) / 1_000, _WAIT_SECONDS)):
            return {"jobReference": reference, "jobComplete": False}
        raised(run)
        return {"jobReference": reference, "jobComplete": True, **self._page(run, query)}

    def _page(self, run: Run, query: dict[str, str]) -> dict[str, Any]:
        if run.answer is None:
            return {"totalRows": "0"}
        begin = int(query.get("pageToken") or query.get("startIndex") or 0)
        end = begin + min(int(query.get("maxResults", self.page_rows)), self.page_rows)
        whole = query.get("formatOptions.useInt64Timestamp", "").lower() == "true"
        kinds = [field["type"] for field in run.answer.fields]
        columns = [column.to_pylist() for column in run.answer.rows.slice(begin, end - begin).columns]
        rows = [
            {"f": [cell(kind, value, whole) for kind, value in zip(kinds, values, strict=True)]}
            for values in zip(*columns, strict=True)
        ]
        page: dict[str, Any] = {"schema": {"fields": run.answer.fields}, "totalRows": str(run.answer.rows.num_rows)}
        if rows:
            page["rows"] = rows
        if rows and end < run.answer.rows.num_rows:
            page["pageToken"] = str(end)
        return page

    # Uploads: https://cloud.google.com/bigquery/docs/reference/api-uploads

    def _upload(self, query: dict[str, str], body: bytes, headers: Any, **_: Any) -> Any:
        if query["uploadType"] == "multipart":
            metadata, data = _parts(body, headers.get_boundary())
            return self.jobs.insert(json.loads(metadata), data).resource
        raise ApiError("notImplemented", f"The stand-in has no uploads of type {query['uploadType']}")

    def _begin_upload(self, body: bytes, **_: Any) -> Any:
        resource = json.loads(body)
        self.jobs.check_free(resource)
        upload_id = uuid.uuid4().hex
        self._uploads[upload_id] = (resource, bytearray())
        path = f"/upload/bigquery/v2/projects/{self.project}/jobs?uploadType=resumable&upload_id={upload_id}"
        return 200, {"Location": self.address + path}, {}

    def _upload_chunk(self, query: dict[str, str], body: bytes, headers: Any, **_: Any) -> Any:
        """Take a chunk. A chunk that comes again after the last one is answered with the job that was made then."""
        if query["upload_id"] in self._uploaded:
            return self._uploaded[query["upload_id"]].resource
        resource, received = self._uploads[query["upload_id"]]
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", headers["Content-Range"])
        if found is None or (found[1] and int(found[1]) != len(received)):
            raise ApiError("invalid", f"Content-Range {headers['Content-Range']} does not follow {len(received)} bytes")
        received.extend(body)
        if found[3] != "*" and int(found[3]) == len(received):
            del self._uploads[query["upload_id"]]
            self._uploaded[query["upload_id"]] = run = self.jobs.insert(resource, bytes(received))
            return run.resource
        return 308, {"Range": f"bytes=0-{len(received) - 1}"}, None

    def _issue_token(self) -> Any:
        if not self.issues_tokens:
            raise InvalidGrant
        return {"access_token": self.issued, "token_type": "Bearer", "expires_in": 3600}


def _parts(body: bytes, boundary: str) -> tuple[bytes, bytes]:
    """Return the two parts of an upload as they were sent: a parser of mail would change the ends of lines."""
    _, metadata, data, _ = body.split(b"--" + boundary.encode())
    first, second = (part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in (metadata, data))
    return first, second


class Dropped(Exception):
    """The request was carried out; its answer never comes."""


class InvalidGrant(Exception):
    """The token endpoint does not know the key."""


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, headers, answer = self.stand_in.route(self.command, parts.path, query, body, self.headers)
        except ApiError as error:
            status, headers, answer = error.status, {}, error.body()
        except InvalidGrant:
            status, headers, answer = 400, {}, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        except Exception as error:
            if not isinstance(error, Dropped):
                self.stand_in.bugs.append(error)
            self.close_connection = True
            return
        text = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
