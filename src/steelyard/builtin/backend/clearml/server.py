"""Mirrors a run to a server of ClearML, by its API: each call is waited for, and raises.

The SDK's `Task` is left alone: it watches its process, patches libraries, repeats calls that fail
for ever, and sends from a thread that tells nobody what became of it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import file_digest
from pathlib import Path
from typing import Any

from steelyard.builtin.backend.clearml import mapping
from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded, Tags
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.kernel.units import NS_PER_S

_RETRIES: dict[str, float] = {
    "total": 2, "connect": 2, "read": 2, "redirect": 2, "status": 2,
    "backoff_factor": 0.5, "backoff_max": 2.0,
}  # fmt: skip
"""A call fails within seconds, as the mirror calls again. ClearML's own are hours."""

_EVENTS_MAX = 500


class ClearmlBackend:
    """Writes a task. Where the server is, and the keys, ClearML reads: `clearml.conf`, variables.

    A batch that is sent again is sent to the same plots, lines, iterations and times.

    Args:
        project: instead of the run's.
    """

    def __init__(self, project: str = "") -> None:
        self._project = project
        self._session: Any = None
        self._tasks: Any = None
        self._events: Any = None
        self._id = ""
        self._items: mapping.Items = {}

    def open(self, run: RunFacts) -> str:
        """Begin a task, or go on with the one that the reference names: its id."""
        self._tasks, self._events = mapping.services()
        self._session, self._id, self._items = _session(), "", {}
        with ExitStack() as stack:
            stack.callback(self._forget)
            if run.reference:
                self._id = run.reference
                self._load()
            else:
                self._id = self._create(run)
            known = self._items.get(mapping.TAGS, {})
            tags = {name: value for name, value in run.tags.items() if name not in known}
            self._edit(mapping.TAGS, tags)
            self._edit(mapping.PROPERTIES, mapping.facts_of(run))
            self._send(self._tasks.StartedRequest(task=self._id, force=True))
            stack.pop_all()
        return self._id

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Send the values, then the rest in turn."""
        self._opened()
        refused = {n: why for n, item in enumerate(items) if (why := mapping.why_not(item))}
        values = [
            item
            for number, item in enumerate(items)
            if isinstance(item, Metric) and number not in refused
        ]
        for start in range(0, len(values), _EVENTS_MAX):
            self._report(values[start : start + _EVENTS_MAX])
        for item in items:
            if isinstance(item, Params):
                self._edit(mapping.GENERAL, item.values)
            elif isinstance(item, Tags):
                self._edit(mapping.TAGS, item.values)
            elif isinstance(item, Artifact):
                self._put(item)
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Nothing is held back: each call was answered."""
        self._opened()

    def close(self, end: RunEnded | None) -> None:
        """Tell how the run ended, where it did."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            if self._session is not None and end is not None:
                self._edit(mapping.PROPERTIES, mapping.end_of(end))
                reason = f"{end.failure.type}: {end.failure.message}" if end.failure else end.status
                request = {
                    "completed": self._tasks.CompletedRequest,
                    "failed": self._tasks.FailedRequest,
                }.get(mapping.STATUSES.get(end.status, ""), self._tasks.StoppedRequest)
                self._send(request(task=self._id, force=True, status_reason=reason))

    def _forget(self) -> None:
        self._session = None

    def _opened(self) -> Any:
        if self._session is None:
            raise PluginError("The clearml backend is not open")
        return self._session

    def _send(self, request: Any) -> Any:
        """Return the response.

        Raises:
            SteelyardError: the server refused the call; the SDK's own when there was no answer.
        """
        result = self._opened().send(request)
        if result is None or not result.ok():
            meta = getattr(result, "meta", None)
            text = getattr(meta, "result_msg", None) or "no answer"
            raise SteelyardError(f"ClearML refused {type(request).__name__}: {text}")
        return result.response

    def _create(self, run: RunFacts) -> str:
        from clearml.backend_interface.util import get_or_create_project

        project = mapping.long_enough(self._project or run.project, "project")
        request = self._tasks.CreateRequest(
            name=mapping.long_enough(run.name, "run"),
            type="training",
            project=get_or_create_project(self._opened(), project),
        )
        return str(self._send(request).id)

    def _load(self) -> None:
        kept = self._send(self._tasks.GetByIdRequest(task=self._id)).task.to_dict()
        self._items = kept.get("hyperparams") or {}

    def _edit(self, section: str, values: dict[str, Any]) -> None:
        made = mapping.put(self._items, section, values)
        if not made:
            return
        items = [self._tasks.ParamsItem(**item) for item in made]
        self._send(self._tasks.EditHyperParamsRequest(task=self._id, hyperparams=items))
        if section == mapping.TAGS:
            tags = mapping.tag_texts(self._items)
            self._send(self._tasks.UpdateRequest(task=self._id, tags=tags))

    def _report(self, values: Sequence[Metric]) -> None:
        requests = [
            self._events.AddRequest(event=mapping.event_of(item, self._events, self._id))
            for item in values
        ]
        self._send(self._events.AddBatchRequest(requests=requests))

    def _put(self, item: Artifact) -> None:
        from clearml import StorageManager
        from clearml.backend_api import Session

        with Path(item.path).open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != item.sha256:
                raise SteelyardError(f"The content of artifact '{item.name}' is not what it was")
        place = f"steelyard.{self._id}/{mapping.artifact_path(item.name)}"
        url = f"{Session.get_files_server_host()}/{place}"
        if not StorageManager.upload_file(item.path, url, retries=int(_RETRIES["total"])):
            raise SteelyardError(f"ClearML's file server did not take artifact '{item.name}'")
        artifact = self._tasks.Artifact(
            key=item.name,
            type="custom",
            mode="output",
            uri=url,
            content_size=item.size,
            hash=item.sha256,
            timestamp=item.wall_ns // NS_PER_S,
            type_data=self._tasks.ArtifactTypeData(preview=f"{item.name} - {item.size} B"),
        )
        request = self._tasks.AddOrUpdateArtifactsRequest(
            task=self._id, artifacts=[artifact], force=True
        )
        self._send(request)


def _session() -> Any:
    from clearml.backend_api import Session
    from clearml.backend_api.session.defs import ENV_OFFLINE_MODE

    if ENV_OFFLINE_MODE.get():
        raise PluginError(
            "CLEARML_OFFLINE_MODE is set, so no server is called",
            next_step="Use the backend 'clearml_offline', or unset it.",
        )
    return Session(http_retries_config=dict(_RETRIES))
