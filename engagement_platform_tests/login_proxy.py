"""A reverse proxy as people put before the page: it ends TLS, asks for a user and a password, and hands on."""

import base64
import hmac
import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER, PASSWORD = "ada", "of-the-proxy"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
_OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def login_proxy(backend: int, certificate: Path) -> Iterator[int]:
    """Serve over TLS what a port of loopback serves, to who logs in; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not hmac.compare_digest(self.headers.get("Authorization", ""), LOGIN):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="page"')
                self.end_headers()
                return
            asked = http.client.HTTPConnection("127.0.0.1", backend, timeout=20)
            # Host stays; the login goes no further, as `Authorization` is the page's own.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.request(self.command, self.path, body, headers | {"X-Forwarded-Proto": "https"})
            answer = asked.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_ONE_HOP:
                    self.send_header(name, value)
            self.end_headers()
            with suppress(http.client.IncompleteRead, OSError):  # either side may end a stream of events
                while chunk := answer.read1(1 << 16):
                    self.wfile.write(chunk)
                    self.wfile.flush()
            asked.close()

        do_POST = do_GET  # noqa: N815, the library's name

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
