"""Mirrors a run to MLflow: a tracking server, or its database directly."""

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from steelyard.builtin.backend.mlflow.entities import (
    NAME_MAX,
    TAG_MAX,
    Entity,
    Part,
    Repeats,
    mlflow_name,
    parts_of,
)
from steelyard.domain.track.events import Artifact, Logged, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError
from steelyard.kernel.units import NS_PER_MS

RUN_TAG = "steelyard.run_id"
"""Has our id of a run, by which it is found again when its creation was cut off."""

FAILURE_TAG = "steelyard.failure"
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The mirror tries again, and is to be heard in between: not seven times within a call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
"""Variables of MLflow that are set unless they are: nothing is told to its makers."""

_STATUSES = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")
_FOR_GOOD = "INVALID_PARAMETER_VALUE"
_REASON_MAX = 200
_log = logging.getLogger("steelyard.track")


class MlflowBackend:
    """Writes a run of MLflow's; the project is the experiment, parameters are texts.

    Sending a batch again doubles nothing, as MLflow holds one value per name, step, value and
    millisecond. Parameters can't be changed there: a later value that differs is refused, and so
    are infinities, texts over MLflow's limits, and whatever the server calls invalid.

    Args:
        tracking_uri: of a server (`http://...`) or a database (`sqlite:///...`); else MLflow's own
            choice, such as MLFLOW_TRACKING_URI. User and password belong into
            MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
        experiment: instead of the run's project.
        artifact_location: where a new experiment keeps artifacts; else where the server says.
        shared_artifacts: a server elsewhere keeps artifacts in a directory that is there on this
            machine too.
        timeout_s: of one request.
    """

    def __init__(
        self,
        tracking_uri: str = "",
        experiment: str = "",
        artifact_location: str = "",
        *,
        shared_artifacts: bool = False,
        timeout_s: int = 30,
    ) -> None:
        self._uri = tracking_uri
        self._experiment = experiment
        self._artifact_location = artifact_location
        self._shared_artifacts = shared_artifacts
        self._timeout_s = timeout_s
        self._client: Any = None
        self._run_id = ""
        self._no_artifacts = ""
        self._repeats = Repeats()

    def open(self, run: RunFacts) -> str:
        """Create the run, or go on with it; a database's reference has its place too."""
        run_id, _, place = run.reference.partition(" ")
        with self._kept_secret():
            self._connect(place)
            if run_id:
                self._client.update_run(run_id, status="RUNNING")
                mlflow_run = self._client.get_run(run_id)
            else:
                mlflow_run = self._found(run)
        self._run_id = mlflow_run.info.run_id
        self._no_artifacts = self._why_no_artifacts(mlflow_run.info.artifact_uri)
        local = "" if "://" not in self._uri or not self._uri.startswith("sqlite") else self._uri
        return f"{self._run_id} {local}".rstrip()

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Send items in as few requests as MLflow's limits allow."""
        if self._client is None:
            raise PluginError("The mlflow backend is not open")
        from mlflow.exceptions import MlflowException

        refused: dict[int, str] = {}
        taken = 0
        with self._kept_secret():
            for part in parts_of(items, refused):
                try:
                    self._send(part, refused)
                except (MlflowException, OSError):
                    if not taken:
                        raise
                    # What went before is there; the rest is tried again, and fails then by itself.
                    break
                taken = part.end
        return Delivery(taken, {index: why for index, why in refused.items() if index < taken})

    def flush(self) -> None:
        """Nothing is held back: each request was answered when it was done."""
        if self._client is None:
            raise PluginError("The mlflow backend is not open")

    def close(self, end: RunEnded | None) -> None:
        """Tell how the run ended, where it did."""
        client, self._client = self._client, None
        if client is None or end is None:
            return
        with self._kept_secret():
            if end.failure is not None:
                failure = end.failure
                text = failure.traceback or f"{failure.type}: {failure.message}"
                # The end of a traceback says most.
                client.set_tag(self._run_id, FAILURE_TAG, text[-TAG_MAX:])
            client.set_terminated(
                self._run_id,
                status=_STATUSES.get(end.status, "FAILED"),
                end_time=end.ended_ns // NS_PER_MS or None,
            )

    def _connect(self, place: str) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(self._timeout_s))
        import mlflow

        # MLflow says much at INFO, such as each migration of a new database.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._uri = place or _absolute(self._uri or mlflow.get_tracking_uri())
        self._client = mlflow.MlflowClient(tracking_uri=self._uri)

    def _found(self, run: RunFacts) -> Any:
        """Return the run, made unless an earlier attempt made it."""
        experiment_id = self._experiment_id(self._experiment or run.project or "Default")
        chosen = f"tags.`{RUN_TAG}` = '{run.run_id}'"
        found = self._client.search_runs([experiment_id], filter_string=chosen, max_results=1)
        if found:
            return found[0]
        tags = {
            **_first_tags(run.tags),
            RUN_TAG: run.run_id,
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": run.command[:TAG_MAX],
            "steelyard.host": run.host_id,
        }
        return self._client.create_run(
            experiment_id,
            start_time=run.started_ns // NS_PER_MS,
            tags={key: value for key, value in tags.items() if value},
            run_name=run.name[:NAME_MAX],
        )

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                location = self._artifact_location or None
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Another run of the project began at the same time.
                found = self._client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise PluginError(
                f"MLflow's experiment '{name}' was deleted",
                next_step=f"Restore it: mlflow experiments restore -x {found.experiment_id}",
            )
        return str(found.experiment_id)

    def _why_no_artifacts(self, uri: str) -> str:
        """Return why artifacts can't go there: a path on a server is none on this machine."""
        server = urlsplit(self._uri)
        if server.scheme not in {"http", "https"} or urlsplit(uri).scheme not in {"", "file"}:
            return ""
        if self._shared_artifacts or server.hostname in _LOOPBACK:
            return ""
        return "artifacts: the server keeps them in a directory of its own (see --serve-artifacts)"

    def _send(self, part: Part, refused: dict[int, str]) -> None:
        if part.artifact is not None:
            why = self._upload(part.artifact)
            if why:
                refused[part.artifact_index] = why
            return
        new, old = self._repeats.split(part.entities)
        for entity in old:
            refused.setdefault(
                entity.index, "a value of the same name, step and millisecond is there already"
            )
        self._deliver(new, refused)
        self._repeats.keep(new)

    def _deliver(self, entities: Sequence[Entity], refused: dict[int, str]) -> None:
        """Send these; where the server calls some of them invalid, find out which."""
        from mlflow.exceptions import MlflowException

        if not entities:
            return
        try:
            self._log_batch(entities)
        except MlflowException as error:
            if error.error_code != _FOR_GOOD:
                raise
            self._require_active()
            if len(entities) == 1:
                refused.setdefault(entities[0].index, _reason(entities[0], error.message))
                return
            middle = len(entities) // 2
            self._deliver(entities[:middle], refused)
            self._deliver(entities[middle:], refused)

    def _log_batch(self, entities: Sequence[Entity]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            self._run_id,
            metrics=[
                Metric(e.name, e.value, e.time_ms, e.step) for e in entities if e.kind == "metric"
            ],
            params=[Param(e.name, e.value) for e in entities if e.kind == "param"],
            tags=[RunTag(e.name, e.value) for e in entities if e.kind == "tag"],
            synchronous=True,
        )

    def _require_active(self) -> None:
        """A deleted run makes all invalid, and may be restored."""
        if self._client.get_run(self._run_id).info.lifecycle_stage != "active":
            raise PluginError(
                f"MLflow's run {self._run_id} was deleted",
                next_step=f"Restore it: mlflow runs restore --run-id {self._run_id}",
            )

    def _upload(self, item: Artifact) -> str:
        """Send an artifact's content; return why it can't be, if so."""
        from mlflow.exceptions import MlflowException

        content = Path(item.path)
        if self._no_artifacts:
            return self._no_artifacts
        if not content.is_file():
            return "artifacts whose content is gone"
        folder, _, name = mlflow_name(item.name, is_path=True).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="steelyard-mlflow-") as directory:
            # MLflow names an artifact as its file is named; ours are named by their hash.
            link = Path(directory) / name
            try:
                link.symlink_to(content.absolute())
                self._client.log_artifact(self._run_id, str(link), folder or None)
            except MlflowException as error:
                if error.error_code != _FOR_GOOD:
                    raise
                return f"artifact '{item.name}': {error.message}"
        return ""

    @contextlib.contextmanager
    def _kept_secret(self) -> Iterator[None]:
        """Keep user and password of an address out of errors, which are written to a file."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            text = str(error)
            shown = _USERINFO.sub("", text)
            password = urlsplit(self._uri).password or ""
            for secret in {password, unquote(password)} - {""}:
                shown = shown.replace(secret, "***")
            if shown == text:
                raise
            # Without its cause: that has what was taken out.
            raise PluginError(f"MLflow failed: {shown}") from None


def _absolute(uri: str) -> str:
    """Return the address of a database file so that it is found from elsewhere too."""
    prefix, mark, path = uri.partition("sqlite:///")
    if prefix or not mark or path.startswith("/") or not path or ":memory:" in path:
        return uri
    return f"sqlite:///{Path(path).absolute()}"


def _reason(entity: Entity, message: str) -> str:
    """Return why a server refused it, without the values that MLflow puts into its message."""
    if entity.kind == "param" and "Changing param values" in message:
        return f"parameters can't be changed in MLflow: {entity.name}"
    text = message.partition("\n")[0].removeprefix(f"{_FOR_GOOD}: ")
    return f"a {entity.kind} that MLflow calls invalid: {entity.name}: {text[:_REASON_MAX]}"


def _first_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that a run can be created with; of others only the log is told."""
    fit = {mlflow_name(key): value for key, value in tags.items()}
    kept = {
        key: value for key, value in fit.items() if 0 < len(key) <= NAME_MAX
        and len(value) <= TAG_MAX
    }  # fmt: skip
    if len(kept) < len(fit):
        _log.warning("MLflow has no room for tags: %s", ", ".join(sorted(set(fit) - set(kept))))
    return kept
