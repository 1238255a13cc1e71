"""Answers what W&B's SDK asks of its server, and keeps what it sends; made from what was seen.

It is no server of W&B's: it shows what the SDK sends, and what happens when nobody answers.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = {"id": "e1", "name": "me"}
PROJECT = {"id": "p1", "name": "kit", "entity": USER}


class StandIn:
    """Listens on a port of loopback that stays its own from `stop` to `start`."""

    def __init__(self):
        self.history = []  # lines of JSON
        self.run = {}
        self.exit_code = None
        self.keys = set()
        self.port = 0
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query, variables):
        """Return what stands under `data` of an answer to GraphQL."""
        if "upsertBucket" in query:
            self.run.update({key: value for key, value in variables.items() if value is not None})
            bucket = {
                "id": "r1", "name": self.run["name"], "displayName": self.run["displayName"],
                "config": "{}", "historyLineCount": len(self.history), "project": PROJECT,
            }  # fmt: skip
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "RunResumeStatus" in query:
            return {"model": {**PROJECT, "bucket": self._resumable() if self.run else None}}
        if "createRunFiles" in query:
            return {"createRunFiles": {"runID": "r1", "uploadHeaders": [], "files": []}}
        return {}

    def _resumable(self):
        last = {"_step": len(self.history) - 1, "_runtime": 1} if self.history else {}
        return {
            "id": "r1", "name": self.run["name"], "summaryMetrics": json.dumps(last),
            "displayName": self.run["displayName"], "logLineCount": 0,
            "historyLineCount": len(self.history), "eventsLineCount": 0,
            "historyTail": json.dumps(self.history[-1:]), "eventsTail": "[]",
            "config": "{}", "tags": [], "wandbConfig": '{"t": 1}',
        }  # fmt: skip

    def stream(self, sent):
        """Take lines of the run's files; they say from which line on they stand."""
        lines = sent.get("files", {}).get("wandb-history.jsonl")
        if lines is not None:
            self.history[lines["offset"] :] = lines["content"]
        if sent.get("complete"):
            self.exit_code = sent["exitcode"]


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    def log_message(self, format, *args):
        """Say nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        asked = json.loads(body)
        self.stand_in.keys.add(self.headers["Authorization"])
        if self.path == "/graphql":
            found = self.stand_in.answer(asked["query"], asked.get("variables") or {})
            self._reply({"data": found})
        else:
            self.stand_in.stream(asked)
            self._reply({})

    def _reply(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
