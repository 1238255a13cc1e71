"""A collector on loopback that decodes the OTLP over HTTP that real exporters send."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


class Collector:
    """Keeps the requests for metrics that it took.

    Attributes:
        requests, headers: what it took, and how each was addressed.
        answers: status and body that the next requests get, whatever they bring.
        refuse: tells which requests it never takes.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.refuse: Callable[[Any], bool] = lambda _: False
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = collector._take(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True  # one may wait for a client that never says goodbye
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.base}/v1/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if path != "/v1/metrics":
            return 404, b""
        request = ExportMetricsServiceRequest.FromString(body)
        status, answer = self.answers.pop(0) if self.answers else (200, b"")
        if self.refuse(request):
            return 400, b""
        if status == 200:
            self.requests.append(request)
            self.headers.append(headers)
        return status, answer

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def metrics(self) -> dict[str, Any]:
        """Return the last word on each metric by name: cumulative, so the last has all."""
        return {
            metric.name: metric
            for request in self.requests
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
