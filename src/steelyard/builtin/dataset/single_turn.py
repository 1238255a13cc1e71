"""One request per line of a file: JSON Lines, or plain text with one prompt per line.

Fields of a JSON line, all optional but one of the first four:

- `text` or `prompt`: the user's message.
- `texts`: several inputs of one request (embeddings, batches).
- `messages`: complete chat messages.
- `system`: system prompt.  `role`: who speaks, `user` when missing.
- `model`: overrides the run's model.
- `max_tokens` or `output_length`: output tokens asked for.
- `delay` or `delay_ms`, `timestamp` or `timestamp_ms`: milliseconds.
- `extra`: merged last into this request's body.  `session_id` or `id`: the conversation's name.

Other fields are left alone. A file whose name ends in `.txt` is taken as plain text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError

LINE_MAX_BYTES = 64 * 1024 * 1024

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Millis = Annotated[float, msgspec.Meta(ge=0)]


class _Row(msgspec.Struct, frozen=True):
    text: str | None = None
    prompt: str | None = None
    texts: list[str] | None = None
    messages: list[dict[str, Any]] | None = None
    system: str = ""
    role: str = "user"
    model: str | None = None
    max_tokens: _Count | None = None
    output_length: _Count | None = None
    delay: _Millis | None = None
    delay_ms: _Millis | None = None
    timestamp: _Millis | None = None
    timestamp_ms: _Millis | None = None
    extra: dict[str, Any] | None = None
    session_id: str | None = None
    id: str | None = None


class SingleTurnDataset:
    """Reads the file line by line, as conversations are asked for.

    Raises:
        UsageError: the file is missing; while reading, a line is wrong (file, line, got, expected).
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the file; nothing is read yet. `seed` has no say: the file decides."""
        del seed
        self._path = Path(plan.path).expanduser()
        if not plan.path or not self._path.is_file():
            raise UsageError(
                "The dataset 'single_turn' has no file to read",
                got=plan.path,
                expected="a JSONL file, one request a line",
                next_step="Name it with --input-file.",
            )
        self._entries = plan.entries
        self._tokenizer = tokenizer
        self._default_osl = None if plan.osl_mean is None else max(1, round(plan.osl_mean))
        self._decoder = msgspec.json.Decoder(_Row)

    def conversations(self) -> Iterator[Conversation]:
        """Yield a conversation per line that isn't blank, at most `plan.entries` unless 0.

        Raises:
            UsageError: a line is wrong, or no line has a request.
        """
        plain = self._path.suffix == ".txt"
        number = 0
        for line_number, line in self._lines():
            row = (
                _Row(text=self._text(line, line_number)) if plain else self._row(line, line_number)
            )
            yield self._conversation(row, number, line_number)
            number += 1
            if number == self._entries:
                return
        if number == 0:
            raise UsageError(f"{self._path} holds no request", expected="one JSON object a line")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self._path.open("rb") as file:
                line_number = 0
                while line := file.readline(LINE_MAX_BYTES + 1):
                    line_number += 1
                    if len(line) > LINE_MAX_BYTES:
                        raise self._wrong(line_number, f"over {LINE_MAX_BYTES} bytes", "less")
                    if line_number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    if not line.isspace() and line:
                        yield line_number, line
        except OSError as problem:
            raise UsageError(f"Can't read {self._path}: {problem.strerror}") from problem

    def _text(self, line: bytes, line_number: int) -> str:
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise self._wrong(line_number, f"bytes {problem.reason}", "UTF-8 text") from problem

    def _row(self, line: bytes, line_number: int) -> _Row:
        try:
            row = self._decoder.decode(line)
        except msgspec.ValidationError as problem:
            raise self._wrong(line_number, str(problem), "the fields of single_turn") from problem
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            shown = line[:60].decode("utf-8", "replace").strip()
            raise self._wrong(line_number, f"{shown} ({problem})", "a JSON object") from problem
        given = [
            name
            for name in ("text", "prompt", "texts", "messages")
            if getattr(row, name) is not None
        ]
        if len(given) != 1:
            raise self._wrong(
                line_number,
                " and ".join(given) or "none of them",
                "one of the fields text, prompt, texts, messages",
            )
        return row

    def _conversation(self, row: _Row, number: int, line_number: int) -> Conversation:
        text = row.text if row.text is not None else row.prompt
        turn = Turn(
            text=text or "",
            texts=tuple(row.texts or ()),
            role=row.role,
            messages=row.messages,
            system=row.system,
            model=row.model or "",
            max_tokens=_first(row.max_tokens, row.output_length, self._default_osl),
            input_tokens=self._count(row, text),
            delay_ms=_first(row.delay_ms, row.delay, 0.0) or 0.0,
            timestamp_ms=_first(row.timestamp_ms, row.timestamp, None),
            extra=row.extra or {},
        )
        name = row.session_id or row.id or f"{self._path.name}-{line_number}"
        return Conversation(id=name, turns=(turn,))

    def _count(self, row: _Row, text: str | None) -> int:
        """Return the tokens of the texts; -1 for messages, whose template only a server knows."""
        if row.messages is not None:
            return -1
        texts = row.texts if text is None else [text]
        return sum(map(self._tokenizer.count, texts or ()))

    def _wrong(self, line_number: int, got: str, expected: str) -> UsageError:
        return UsageError(f"{self._path}:{line_number} is no request", got=got, expected=expected)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
