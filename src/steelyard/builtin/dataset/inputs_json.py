"""The requests of an earlier run, as `inputs.json` keeps them, for the endpoint `raw`.

The file is one JSON object: `{"data": [{"session_id": ..., "payloads": [{...}, ...]}, ...]}`. Each
session is a conversation, each payload the body of one turn.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError


class _Session(msgspec.Struct, frozen=True):
    payloads: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    session_id: str = ""


class _Inputs(msgspec.Struct, frozen=True):
    data: Annotated[list[_Session], msgspec.Meta(min_length=1)]


class InputsJsonDataset:
    """Holds the file's bytes while it is read; payloads are decoded one conversation at a time.

    Raises:
        UsageError: the file is missing; while reading, it is not of that form.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the file; nothing is read yet. Nothing is counted or drawn."""
        del tokenizer, seed
        self._path = Path(plan.path).expanduser()
        if not plan.path or not self._path.is_file():
            raise UsageError(
                "The dataset 'inputs_json' has no file to read",
                got=plan.path,
                expected="an inputs.json",
                next_step="Name it with --input-file.",
            )
        self._entries = plan.entries
        self._payload = msgspec.json.Decoder(dict[str, Any])

    def conversations(self) -> Iterator[Conversation]:
        """Yield the sessions, at most `plan.entries` unless 0.

        Raises:
            UsageError: the file is not of the form; the message says where.
        """
        for number, session in enumerate(self._read().data):
            turns = tuple(
                Turn(raw_payload=self._decoded(payload, number, turn))
                for turn, payload in enumerate(session.payloads)
            )
            yield Conversation(id=session.session_id or f"{self._path.name}-{number}", turns=turns)
            if number + 1 == self._entries:
                return

    def _read(self) -> _Inputs:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Inputs)
        except OSError as problem:
            raise UsageError(f"Can't read {self._path}: {problem.strerror}") from problem
        except msgspec.DecodeError as problem:
            raise self._wrong(str(problem)) from problem

    def _decoded(self, payload: msgspec.Raw, session: int, turn: int) -> dict[str, Any]:
        try:
            return self._payload.decode(payload)
        except msgspec.DecodeError as problem:
            where = f"{problem} at data[{session}].payloads[{turn}]"
            raise self._wrong(where) from problem

    def _wrong(self, got: str) -> UsageError:
        return UsageError(
            f"{self._path} holds no inputs",
            got=got,
            expected='{"data": [{"session_id": ..., "payloads": [{...}]}]}',
        )
