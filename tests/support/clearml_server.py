"""Answers ClearML's SDK on loopback as its documented API says; an imitation, no ClearML server."""

import base64
import contextlib
import email
import email.policy
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_STATES = {"started": "in_progress", "completed": "completed", "failed": "failed",
           "stopped": "stopped"}  # fmt: skip
_CLAIMS = {"exp": 4_000_000_000, "iat": 0, "api_version": "2.23", "server_version": "2.0.0"}


class ClearmlServer:
    """What the SDK told it.

    Attributes:
        calls: the actions in order, such as `tasks.create`.
        projects: names by id.
        tasks: by id, as `tasks.get_by_id` returns them.
        events: in order.
        files: contents by path.
        refuse: actions that are answered with an error.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.projects: dict[str, str] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.refuse: set[str] = set()
        self.url = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the SDK here."""
        return {
            "CLEARML_API_HOST": self.url,
            "CLEARML_WEB_HOST": self.url,
            "CLEARML_FILES_HOST": self.url,
            "CLEARML_API_ACCESS_KEY": "key",
            "CLEARML_API_SECRET_KEY": "secret",
        }

    def answer(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Do what an action says and return its data."""
        service, _, verb = action.partition(".")
        if action == "auth.login":
            return {"token": _token()}
        if service == "projects":
            return self._projects(verb, body)
        if verb == "create":
            key = f"task{len(self.tasks)}"
            new = {"status": "created", "execution": {"artifacts": []}, "id": key}
            self.tasks[key] = new | body
            return {"id": key}
        return self._task(verb, self.tasks[body["task"]], body)

    def _projects(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        if verb == "create":
            key = f"project{len(self.projects)}"
            self.projects[key] = body["name"]
            return {"id": key}
        ids, pattern = body.get("id") or list(self.projects), body.get("name") or ""
        found = [
            {"id": key, "name": name, "system_tags": []}
            for key, name in self.projects.items()
            if key in ids and re.match(pattern, name)
        ]
        return {"projects": found}

    def _task(self, verb: str, task: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        if verb == "get_by_id":
            return {"task": task}
        if verb in {"edit", "update"}:
            given = {key: v for key, v in body.items() if key not in {"task", "force", "method"}}
            task.update(given)
        elif verb == "edit_hyper_params":
            sections = task.setdefault("hyperparams", {})
            for item in body["hyperparams"]:
                sections.setdefault(item["section"], {})[item["name"]] = item
        elif verb == "add_or_update_artifacts":
            kept = {item["key"]: item for item in task["execution"]["artifacts"]}
            kept |= {item["key"]: item for item in body["artifacts"]}
            task["execution"]["artifacts"] = list(kept.values())
        else:
            task["status"] = _STATES[verb]
        return {"updated": 1, "fields": {}}


@contextlib.contextmanager
def clearml_server() -> Iterator[ClearmlServer]:
    """Run one on a port of its own."""
    state = ClearmlServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            action = self.path.partition("?")[0].rpartition("/")[2]
            state.calls.append(action)
            if self.headers.get_content_type() == "multipart/form-data":
                _keep_files(state, self.headers["Content-Type"], data)
                self._reply(200, {})
            elif action in state.refuse:
                self._reply(400, {}, "refused")
            elif action == "events.add_batch":
                lines = [json.loads(line) for line in data.splitlines()]
                state.events += lines
                self._reply(200, {"added": len(lines), "errors": 0})
            else:
                self._reply(200, state.answer(action, json.loads(data or b"{}")))

        def _reply(self, code: int, data: dict[str, Any], message: str = "OK") -> None:
            meta = {"id": "1", "result_code": code, "result_subcode": 0, "result_msg": message}
            text = json.dumps({"meta": meta, "data": data}).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

    for verb in ("GET", "POST", "PUT", "HEAD"):
        setattr(Handler, f"do_{verb}", Handler.handle_any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _keep_files(state: ClearmlServer, content_type: str, data: bytes) -> None:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + data, policy=email.policy.HTTP)
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = part.get_param("name", header="content-disposition")
        state.files[f"/{str(name).lstrip('/')}"] = content


def _token() -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(_CLAIMS)}.c2ln"
