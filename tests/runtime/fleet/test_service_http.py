"""A client's connection: what is sent twice, what never is, and how refusals read."""

import json
import socket
import threading

import pytest

from steelyard.kernel.errors import PluginError, UsageError
from steelyard.runtime.fleet.service_http import (
    ServiceHttp,
    ServiceRefusedError,
    ServiceUnreachableError,
    tls_context,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def problem(status, **parts):
    body = json.dumps(parts).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/problem+json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Scripted:
    """Answers each request with the next of its answers; None closes without one."""

    def __init__(self, *answers, closes=False):
        self.answers, self.closes, self.heads = list(answers), closes, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while self.answers:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                while self.answers and (head := connection.recv(65_536)):
                    self.heads.append(head.decode())
                    answer = self.answers.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)
                    if self.closes:
                        break

    def close(self):
        self.answers.clear()
        self.listener.close()


@pytest.fixture
def scripted():
    made = []

    def make(*answers, **more):
        made.append(Scripted(*answers, **more))
        return made[-1]

    yield make
    for server in made:
        server.close()


def test_the_key_and_what_is_asked_are_sent(scripted):
    server = scripted(OK)
    http = ServiceHttp(server.url, "sty_x")
    assert http.call("GET", "/v1/tasks", query={"a": 1, "b": "", "c": None, "d": ["x", "y"]}) == {}
    http.close()
    assert server.heads[0].startswith("GET /v1/tasks?a=1&d=x&d=y HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer sty_x\r\n" in server.heads[0]


def test_a_connection_that_was_closed_while_idle_is_opened_again(scripted):
    server = scripted(OK, OK, closes=True)
    http = ServiceHttp(server.url, "")
    assert [http.call("GET", "/a"), http.call("GET", "/b")] == [{}, {}]
    http.close()
    assert [head.split()[1] for head in server.heads] == ["/a", "/b"]


def test_what_changes_something_is_never_sent_twice(scripted):
    server = scripted(OK, None, OK)
    http = ServiceHttp(server.url, "")
    http.call("GET", "/a")
    with pytest.raises(ServiceUnreachableError):
        http.call("POST", "/b", body={"x": 1})
    http.close()
    assert [head.split()[0] for head in server.heads if " HTTP/1.1" in head] == ["GET", "POST"]


def test_a_refusal_reads_as_an_error_of_ours(scripted):
    server = scripted(
        problem(422, detail="The request has mistakes", problems=["a: no", "b: no"]),
        problem(422, detail="There is no scheduler 'x'", next_step="See.", exit_code=3),
        problem(503, detail="Another coordinator leads", exit_code=70),
        b"HTTP/1.1 418 X\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
    )
    http = ServiceHttp(server.url, "")
    with pytest.raises(ServiceRefusedError) as caught:
        http.call("GET", "/")
    assert str(caught.value) == "The request has mistakes.\n  a: no\n  b: no"
    assert (caught.value.status, caught.value.exit_code) == (422, 2)
    with pytest.raises(PluginError, match=r"no scheduler 'x'\. See\."):
        http.call("GET", "/")
    with pytest.raises(ServiceUnreachableError, match="leads") as caught:
        http.call("GET", "/")
    assert caught.value.exit_code == 4
    with pytest.raises(ServiceRefusedError, match="answered 418, and not as a fleet does"):
        http.call("GET", "/")
    http.close()


def test_a_service_that_does_not_answer_is_not_waited_for_long(scripted):
    listener = socket.create_server(("127.0.0.1", 0))
    http = ServiceHttp(f"http://127.0.0.1:{listener.getsockname()[1]}", "", timeout_s=0.1)
    with pytest.raises(ServiceUnreachableError, match="no answer in time"):
        http.call("GET", "/")
    http.close()
    listener.close()


@pytest.mark.parametrize("body", ["<html>", '{"ite', "[1]", '"x"', '{"other": []}'])
def test_another_service_is_told_apart_from_a_fleet(scripted, body):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    server = scripted(f"{head}\r\n\r\n{body}".encode())
    http = ServiceHttp(server.url, "")
    with pytest.raises(ServiceUnreachableError, match=f"answers at {server.url} is no fleet"):
        http.call("GET", "/v1/tasks")["items"]
    http.close()


def test_a_refusal_that_can_not_be_read_is_one(scripted):
    head = b"HTTP/1.1 403 X\r\nContent-Type: application/problem+json\r\nContent-Length: 3\r\n\r\n"
    http = ServiceHttp(scripted(head + b"[1]", head + b"{1}").url, "")
    for _ in range(2):
        with pytest.raises(ServiceRefusedError, match="answered 403, and not as a fleet does"):
            http.call("GET", "/")
    http.close()


def test_an_answer_that_is_no_http_is_no_service(scripted):
    http = ServiceHttp(scripted(b"SSH-2.0-x\r\n").url, "")
    with pytest.raises(ServiceUnreachableError, match="No fleet answers"):
        http.call("GET", "/")
    http.close()


def test_https_where_http_is_spoken_is_told_apart():
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    http = ServiceHttp(f"https://127.0.0.1:{listener.getsockname()[1]}", "", timeout_s=60)
    with pytest.raises(ServiceUnreachableError, match="it speaks http:// and not https://"):
        http.call("GET", "/")
    http.close()
    thread.join()
    listener.close()


def test_certificates_that_can_not_be_read_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.pem"):
        tls_context(str(tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("x")
    with pytest.raises(UsageError, match=r"bad\.pem"):
        ServiceHttp("https://h", "", ca_file=str(tmp_path / "bad.pem"))
