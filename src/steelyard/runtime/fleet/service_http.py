"""One HTTP/1.1 connection to a fleet's service, with the standard library: small and quick to load.

A connection that the server closed while it was idle is opened again; a request is sent twice only
when the first was surely not carried out, or does nothing but read.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from steelyard import __version__
from steelyard.kernel.errors import (
    EXIT_OK,
    EXIT_PLUGIN,
    EXIT_UNREACHABLE,
    PluginError,
    SteelyardError,
    UsageError,
)

ANSWER_MAX_BYTES = 256_000_000
_SAFE = frozenset({"GET"})
_GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class ServiceUnreachableError(SteelyardError):
    """No service answers there."""

    exit_code = EXIT_UNREACHABLE


class ServiceRefusedError(UsageError):
    """The service refused a request.

    Args:
        status: of HTTP.
        problems: each mistake, where it named several.
    """

    def __init__(self, status: int, what: str, problems: tuple[str, ...] = (), **rest: Any) -> None:
        self.status, self.problems = status, problems
        super().__init__(what, **rest)

    def __str__(self) -> str:
        """The summary, then each problem on a line of its own."""
        return "\n".join([super().__str__(), *(f"  {problem}" for problem in self.problems)])


class ServiceHttp:
    """Sends requests to one service, one after another. Not for several threads.

    Args:
        url: of the service.
        key: the token that it is shown.
        ca_file: certificates it is believed by, beside the system's.
        timeout_s: of each wait for the network.

    Raises:
        UsageError: the certificates can't be read.
    """

    def __init__(self, url: str, key: str, *, ca_file: str = "", timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self.url, self._prefix = url, parts.path
        self._headers = {"User-Agent": f"steelyard/{__version__}", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        host = parts.hostname or ""
        self._http: http.client.HTTPConnection
        if parts.scheme == "https":
            context = tls_context(ca_file)
            self._http = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=context
            )
        else:
            self._http = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Any:
        """Return the JSON object that the service answers, empty where it says nothing.

        Raises:
            UsageError: `body` is nothing that JSON can say.
            ServiceRefusedError: it refused.
            PluginError: a plugin of the service's stands in the way.
            ServiceUnreachableError: it did not answer, or had a failure of its own; or what answers
                there is no fleet, which a part that is missed from the object says too.
        """
        given = {key: value for key, value in (query or {}).items() if value not in (None, "", ())}
        target = self._prefix + path + ("?" + urlencode(given, doseq=True) if given else "")
        data, headers = None, dict(self._headers)
        if body is not None:
            data = _json(body)
            headers["Content-Type"] = "application/json"
        try:
            status, kind, answer = self._send(method, target, data, headers)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise self.unreachable(error) from error
        if status >= 400:
            raise _refusal(status, kind, answer)
        found = _object(answer) if answer else {}
        if found is None:
            self._http.close()  # what is left of the answer would stand before the next
            raise _stranger(self.url)
        return _Answer(self.url, found)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _send(
        self, method: str, target: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        was_open = self._http.sock is not None
        try:
            return self._exchange(method, target, data, headers)
        except _GONE:
            self._http.close()
            if not (was_open and method in _SAFE):
                raise
            return self._exchange(method, target, data, headers)

    def _exchange(
        self, method: str, target: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        if data is not None and self._http.sock is not None:
            self._http.close()  # a changing request gets a connection that was not idle
        try:
            self._http.request(method, target, body=data, headers=headers)
        except BrokenPipeError:
            if self._http.sock is None:
                raise  # else the server answered before it had read all, as for 413
        response = self._http.getresponse()
        answer = response.read(ANSWER_MAX_BYTES)
        return response.status, response.headers.get_content_type(), answer

    def unreachable(self, error: Exception) -> SteelyardError:
        """Return what an error of the network means: that nobody answers, and why."""
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {error.verify_message}"
        if getattr(error, "reason", "") == "WRONG_VERSION_NUMBER":
            reason = "it speaks http:// and not https://"
        if isinstance(error, TimeoutError | socket.timeout):
            reason = "no answer in time"
        return ServiceUnreachableError(
            f"No fleet answers at {self.url}: {reason.lower()}",
            next_step="Is it running? Start one with `steelyard fleet serve`, or name another with "
            "--url.",
        )


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return a context that believes the system's certificates and those of a file.

    Raises:
        UsageError: the file can't be read.
    """
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise UsageError(
                "The CA certificates can't be read", got=ca_file, expected="a file in PEM form"
            ) from error
    return context


class _Answer(dict[str, Any]):
    """An object that a fleet's service has answered, if all that is asked of it is there."""

    def __init__(self, url: str, parts: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self._url = url

    def __missing__(self, name: str) -> Any:
        raise _stranger(self._url)


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"This can't be said in JSON: {error}",
            expected="texts, finite numbers, true, false, null, lists and mappings of these",
            next_step="A date, as YAML reads it, is a text when it is quoted.",
        ) from None


def _object(answer: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(answer)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _stranger(url: str) -> SteelyardError:
    return ServiceUnreachableError(
        f"What answers at {url} is no fleet", next_step="Name another with --url."
    )


def _refusal(status: int, kind: str, answer: bytes) -> SteelyardError:
    problem = (_object(answer) if kind == "application/problem+json" else None) or {}
    what = str(problem.get("detail") or f"What is there answered {status}, and not as a fleet does")
    rest = {
        "got": problem.get("got") or None,
        "expected": problem.get("expected") or None,
        "next_step": problem.get("next_step") or None,
    }
    code = problem.get("exit_code", EXIT_OK)
    if code == EXIT_PLUGIN:
        return PluginError(what, **rest)
    if status >= 500:
        return ServiceUnreachableError(what, **rest)
    return ServiceRefusedError(status, what, tuple(problem.get("problems", ())), **rest)
