"""Mirrors a run to TensorBoard's event files: scalars, hyperparameters, tags as texts.

The record format (length, masked CRC-32C, data, masked CRC-32C) is TensorFlow's TFRecord; events,
scalars and the hyperparameters' summaries are those of `tensorboard`, which alone is needed.
"""

import json
import os
import re
import socket
import struct
from collections.abc import Iterable, Sequence
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import FileError, PluginError, UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import write_atomic

SCALARS = ("single", "double")
SINGLE_MAX = 3.4028235e38
EXACT_INT_MAX = 2**53
REPEATED_MAX = 1_000
_HEADER = struct.Struct("<QI")
_FOOTER_SIZE = 4
_NO_FILES = "TensorBoard's event files hold no other files"


class TensorboardBackend:
    """Writes `DIRECTORY/PROJECT/NAME-RUN_ID/events.out.tfevents...`, one file that only grows.

    Parameters and the end are the run's session of the hyperparameter dashboard, in a second event
    file that is written anew with each change.

    Args:
        directory: TensorBoard's `--logdir`; made if missing.
        scalars: `single` writes what most readers of event files expect, seven digits; `double`
            writes tensors of double precision, as TensorFlow 2 does.
    """

    def __init__(self, directory: str = "tensorboard", scalars: str = "single") -> None:
        if scalars not in SCALARS:
            raise UsageError(
                "Unknown precision of scalars", got=scalars, expected=" or ".join(SCALARS)
            )
        self._directory = Path(directory)
        self._is_double = scalars == "double"
        self._run = self._directory
        self._started_s = 0.0
        self._params: dict[str, Any] = {}
        self._run_id = ""
        self._seen: set[bytes] = set()
        self._file: FileIO | None = None

    def open(self, run: RunFacts) -> str:
        """Begin the event file, or go on behind its last whole record."""
        name = f"{_as_directory(run.project)}/{_as_directory(run.name)}-{run.run_id}"
        self._run = Path(run.reference or self._directory / name).absolute()
        self._run.mkdir(parents=True, exist_ok=True)
        self._started_s = run.started_ns / NS_PER_S
        self._run_id = run.run_id
        self._params = self._kept_params()
        path = self._run / self._file_name("0")
        self._file = file = FileIO(path, "a")
        written = path.read_bytes()
        bounds = list(_record_bounds(written))
        file.truncate(bounds[-1][1] + _FOOTER_SIZE if bounds else 0)
        # A mirror that was killed before it noted its last batch sends that again.
        self._seen = {written[begin:end] for begin, end in bounds[-REPEATED_MAX:]}
        if not bounds:
            self._append([_version_event(self._started_s), *self._texts(run.tags, run.started_ns)])
        return str(self._run)

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Append a record per value; all of a batch is there, or none."""
        refused: dict[int, str] = {}
        events: list[Any] = []
        params: dict[str, Any] = {}
        for index, item in enumerate(items):
            if isinstance(item, Artifact):
                refused[index] = f"artifact '{item.name}': {_NO_FILES}"
            elif isinstance(item, Params):
                params.update(item.values)
            elif not isinstance(item, Metric):
                events += self._texts(item.values, item.wall_ns)
            elif self._holds(item.value):
                events.append(self._scalar(item))
            else:
                refused[index] = f"'{item.name}': too large for single precision"
        if params:
            self._params.update(params)
            self._write_session(None)
        self._append(events)
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Bring the records to the disk."""
        os.fsync(self._opened().fileno())

    def close(self, end: RunEnded | None) -> None:
        """Write how the run ended, where it did, and close the file."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            if end is not None:
                self._write_session(end)

    def _opened(self) -> FileIO:
        if self._file is None:
            raise PluginError("The tensorboard backend is not open")
        return self._file

    def _file_name(self, part: str) -> str:
        """Return the name of an event file; readers take those of a run in the names' order."""
        return f"events.out.tfevents.{int(self._started_s):010d}.{socket.gethostname()}.{part}"

    def _append(self, events: Iterable[Any]) -> None:
        new = [data for e in events if (data := e.SerializeToString()) not in self._seen]
        file, records = self._opened(), _records(new)
        before, written = os.fstat(file.fileno()).st_size, 0
        try:
            written = file.write(records) or 0
        finally:
            if written != len(records):
                # What is half there would be there twice when the batch comes again.
                file.truncate(before)
        if written != len(records):
            raise FileError("The event file could not be written whole; the disk may be full")
        self._seen.clear()

    def _holds(self, value: float) -> bool:
        finite = value == value and abs(value) != float("inf")  # noqa: PLR0124  NaN is not itself
        return self._is_double or not finite or abs(value) <= SINGLE_MAX

    def _scalar(self, item: Metric) -> Any:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

        value = summary_pb2.Summary.Value(tag=item.name)
        if self._is_double:
            value.metadata.plugin_data.plugin_name = "scalars"
            value.metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
            tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, double_val=[item.value])
            value.tensor.CopyFrom(tensor)
        else:
            value.simple_value = item.value
        summary = summary_pb2.Summary(value=[value])
        return event_pb2.Event(wall_time=item.wall_ns / NS_PER_S, step=item.step, summary=summary)

    def _texts(self, values: dict[str, str], wall_ns: int) -> list[Any]:
        if not values:
            return []
        from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
        from tensorboard.plugins.text import metadata

        summary = summary_pb2.Summary()
        for name, text in values.items():
            value = summary.value.add(tag=f"tags/{name}")
            value.metadata.CopyFrom(metadata.create_summary_metadata(name, ""))
            value.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
            value.tensor.dtype = types_pb2.DT_STRING
            value.tensor.string_val.append(text.encode())
        return [event_pb2.Event(wall_time=wall_ns / NS_PER_S, summary=summary)]

    def _write_session(self, end: RunEnded | None) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        start = plugin_data_pb2.SessionStartInfo(
            group_name=self._run_id, start_time_secs=self._started_s
        )
        for name, value in self._params.items():
            _set_hparam(start.hparams[name], value)
        events = [
            _version_event(self._started_s),
            self._session_event(
                metadata.SESSION_START_INFO_TAG,
                plugin_data_pb2.HParamsPluginData(session_start_info=start),
            ),
        ]
        if end is not None:
            told = plugin_data_pb2.HParamsPluginData(session_end_info=_end_info(end))
            events.append(self._session_event(metadata.SESSION_END_INFO_TAG, told))
        data = _records([event.SerializeToString() for event in events])
        write_atomic(self._run / self._file_name("hparams"), data)

    def _session_event(self, tag: str, data: Any) -> Any:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import metadata

        summary = summary_pb2.Summary()
        summary.value.add(
            tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
        )
        return event_pb2.Event(wall_time=self._started_s, summary=summary)

    def _kept_params(self) -> dict[str, Any]:
        """Return the parameters that an earlier process wrote for this run."""
        path = self._run / self._file_name("hparams")
        if not path.is_file():
            return {}
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import metadata

        data, kept = path.read_bytes(), {}
        for begin, end in _record_bounds(data):
            for value in event_pb2.Event.FromString(data[begin:end]).summary.value:
                if value.tag == metadata.SESSION_START_INFO_TAG:
                    content = value.metadata.plugin_data.content
                    info = metadata.parse_session_start_info_plugin_data(content)
                    kept = {k: getattr(v, v.WhichOneof("kind")) for k, v in info.hparams.items()}
        return kept


def _as_directory(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip(".") or "-"


def _version_event(wall_s: float) -> Any:
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(wall_time=wall_s, file_version="brain.Event:2")


def _set_hparam(target: Any, value: Any) -> None:
    """Set a hyperparameter, which is a truth value, a double or a text; the rest goes as JSON."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, float) or (isinstance(value, int) and abs(value) <= EXACT_INT_MAX):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        target.string_value = json.dumps(value, ensure_ascii=False, default=str)


def _end_info(end: RunEnded) -> Any:
    """Return how it ended: of a run that was killed, TensorBoard has to say that it is unknown."""
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    statuses = {"finished": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
    return plugin_data_pb2.SessionEndInfo(status=statuses.get(end.status, api_pb2.STATUS_UNKNOWN))


def _records(contents: Iterable[bytes]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = BytesIO()
    writer = RecordWriter(buffer)
    for content in contents:
        writer.write(content)
    return buffer.getvalue()


def _record_bounds(data: bytes) -> Iterable[tuple[int, int]]:
    """Yield where the content of each whole record begins and ends."""
    place = 0
    while place + _HEADER.size <= len(data):
        begin = place + _HEADER.size
        end = begin + _HEADER.unpack_from(data, place)[0]
        place = end + _FOOTER_SIZE
        if place > len(data):
            return
        yield begin, end
