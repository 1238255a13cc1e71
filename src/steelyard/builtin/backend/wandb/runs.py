"""Mirrors a run to Weights & Biases: online, or into files for `wandb sync`."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from steelyard.builtin.backend.wandb.rows import (
    OURS,
    STEP,
    Row,
    artifact_name,
    config_of,
    first_config,
    project_name,
    rows_of,
    tag_texts,
    unfit,
)
from steelyard.builtin.backend.wandb.state import Batch, Before, Resent, SentFile, rows_on_disk
from steelyard.domain.track.events import Artifact, Logged, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.kernel.errors import PluginError

FAILURE = "steelyard/failure"
STATUS = "steelyard/status"
EXIT_CODES = {"finished": 0, "failed": 1, "killed": 255}
"""255 is what W&B itself ends with after Ctrl-C."""

_FAILURE_MAX = 20_000
_POLL_S = 0.05


class WandbBackend:
    """Writes a run of W&B's; steps are a column of their own, which its charts go by.

    All that is sent is on our disk before, until W&B is known to have it: a killed W&B, or a killed
    mirror, loses and doubles nothing offline.

    Args:
        mode: `online` or `offline`; else WANDB_MODE, else online.
        directory: where W&B makes its `wandb` directory; else WANDB_DIR, else the current one.
        project: instead of the run's.
        entity: user or team; else W&B's own choice.
        base_url: of a server; else WANDB_BASE_URL, else the vendor's.
        api_key: else WANDB_API_KEY, or what `wandb login` kept. Not written to any file.
        timeout_s: for the start of a run, and for its end.
    """

    def __init__(
        self,
        mode: str = "",
        directory: str = "",
        project: str = "",
        entity: str = "",
        base_url: str = "",
        api_key: str = "",
        *,
        timeout_s: float = 30.0,
    ) -> None:
        self._mode = mode
        self._directory = directory
        self._project = project
        self._entity = entity
        self._base_url = base_url
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._facts: RunFacts | None = None
        self._root = Path()
        self._sent: SentFile | None = None
        self._resent = Resent(())
        self._run: Any = None
        self._broken = False
        self._next_row = 0
        self._config: dict[str, Any] = {}
        self._tags: dict[str, str] = {}

    def open(self, run: RunFacts) -> str:
        """Begin the run, or go on with it in the directory that the reference names."""
        given = self._directory or os.environ.get("WANDB_DIR", "")
        self._root = Path(run.reference or given or ".").absolute()
        self._facts = run
        self._mode = self._mode or os.environ.get("WANDB_MODE", "") or "online"
        if self._mode not in {"online", "offline"}:
            raise PluginError(
                "W&B is in no mode to be mirrored to", got=self._mode, expected="online or offline"
            )
        with contextlib.ExitStack() as undo:
            undo.callback(self._forget)
            self._begin()
            undo.pop_all()
        return str(self._root)

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Write items down, then tell W&B of them."""
        self._opened()
        if self._broken:
            self._begin()
        refused = {index: why for index, item in enumerate(items) if (why := _why_not(item))}
        # Of parameters the rest is told: a refusal names which are not.
        fit = [
            item
            for index, item in enumerate(items)
            if index not in refused or isinstance(item, Params)
        ]
        fit = fit[self._resent.count(fit) :]
        if fit:
            batch = Batch(self._next_row, fit)
            self._opened().add(batch)
            self._tell(batch, 0)
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Bring to the disk what W&B may have in memory only."""
        self._opened().sync()

    def close(self, end: RunEnded | None) -> None:
        """End W&B's run, and see that all rows are there; without `end` another part follows."""
        sent, self._sent = self._sent, None
        facts, self._facts = self._facts, None
        if sent is None or facts is None:
            return
        try:
            if self._broken:
                self._abandon()
                raise PluginError("W&B broke off before the run was closed")
            run, self._run = self._run, None
            if end is not None:
                _tell_end(run, end)
            with _ended_on_error():
                run.finish(exit_code=0 if end is None else EXIT_CODES.get(end.status, 1))
            self._require_rows(facts.run_id)
            sent.clear(Before(self._next_row, self._config, self._tags))
        finally:
            sent.close()

    def _require_rows(self, run_id: str) -> None:
        """Wait for the rows: W&B answers before its process has written the last of them."""
        deadline = time.monotonic() + self._timeout_s
        while (rows := rows_on_disk(self._root / "wandb", run_id)) < self._next_row:
            if time.monotonic() > deadline:
                raise PluginError(f"W&B wrote {rows} of {self._next_row} rows")
            time.sleep(_POLL_S)

    def _forget(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.close()

    def _opened(self) -> SentFile:
        if self._sent is None:
            raise PluginError("The wandb backend is not open")
        return self._sent

    def _begin(self) -> None:
        """Start a part of the run, with what W&B may have lost of the part before."""
        facts = self._facts
        if facts is None:
            raise PluginError("The wandb backend is not open")
        self._broken = True
        self._abandon()
        if self._sent is not None:
            self._sent.close()
        files = self._root / "wandb"
        self._sent = SentFile(files / "steelyard" / f"{facts.run_id}.sent")
        self._sent.open()
        before = self._sent.before
        self._config, self._tags = dict(before.config), {**facts.tags, **before.tags}
        self._next_row = before.rows
        _configure(files)
        with _ended_on_error():
            self._run = self._started(facts)
        self._run.define_metric("*", step_metric=STEP)
        there = self._run.starting_step
        if self._mode == "offline":
            there = rows_on_disk(files, facts.run_id)
        for batch in self._sent.batches:
            self._tell(batch, there)
        self._resent = Resent(self._sent.batches)
        self._broken = False

    def _abandon(self) -> None:
        """Leave a part whose W&B died, so that another can begin."""
        run, self._run = self._run, None
        if run is None:
            return
        import wandb

        with contextlib.suppress(OSError, wandb.Error), _ended_on_error():
            run.finish(exit_code=1)

    def _started(self, facts: RunFacts) -> Any:
        import wandb

        settings: dict[str, Any] = {
            "mode": self._mode, "root_dir": str(self._root), "silent": True, "console": "off",
            "init_timeout": self._timeout_s, "finish_timeout": self._timeout_s,
            "finish_timeout_raises": True,
            # We have collectors of our own, and nobody asked W&B to look around.
            "disable_git": True, "disable_code": True, "save_code": False,
            "disable_job_creation": True, "x_disable_stats": True, "x_disable_meta": True,
            "x_disable_machine_info": True, "x_save_requirements": False,
            # The mirror tries again, and is to be heard in between.
            "x_graphql_retry_max": 1, "x_graphql_timeout_seconds": min(self._timeout_s, 20.0),
        }  # fmt: skip
        for name in ("base_url", "api_key"):
            value = getattr(self, f"_{name}")
            if value:
                settings[name] = value
        return wandb.init(
            project=project_name(self._project or facts.project),
            entity=self._entity or None,
            name=facts.name,
            id=facts.run_id,
            notes=self._tags.get("notes"),
            tags=tag_texts(self._tags),
            config={**self._config, OURS: self._ours(facts)},
            resume="allow" if self._mode == "online" else None,
            # A run that the script itself has with W&B is left alone.
            reinit="create_new",
            settings=wandb.Settings(**settings),
        )

    def _tell(self, batch: Batch, there: int) -> None:
        """Tell W&B of a batch, but for rows before number `there`; all else may come twice."""
        # Until it is known to have worked: whatever is raised, the part is begun anew.
        self._broken = True
        self._next_row = batch.first_row
        for told in rows_of(batch.items):
            if isinstance(told, Row):
                if self._next_row >= there:
                    self._run.log(told.columns(), step=self._next_row, commit=True)
                self._next_row += 1
            elif isinstance(told, Params):
                values = config_of(told.values)
                self._config.update(values)
                self._run.config.update(values, allow_val_change=True)
            elif isinstance(told, Artifact):
                self._upload(told)
            else:
                self._tag(told)
        self._broken = False

    def _tag(self, tags: dict[str, str]) -> None:
        self._tags.update(tags)
        self._run.tags = tag_texts(self._tags)
        if "notes" in tags:
            self._run.notes = tags["notes"]
        if self._facts is not None:
            ours = {OURS: self._ours(self._facts)}
            self._run.config.update(ours, allow_val_change=True)

    def _ours(self, facts: RunFacts) -> dict[str, Any]:
        return {**first_config(facts), "tags": dict(self._tags)}

    def _upload(self, item: Artifact) -> None:
        import wandb

        if not Path(item.path).is_file():  # when told again, long after
            return
        artifact = wandb.Artifact(artifact_name(self._run.id, item.name), type="file")
        artifact.add_file(item.path, name=item.name, policy="mutable", skip_cache=True)
        self._run.log_artifact(artifact)


@contextlib.contextmanager
def _ended_on_error() -> Iterator[None]:
    """End W&B's process when the body raises: it would say that the run is in use, for ever.

    Not where the script has a run of its own with W&B, which would end too.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(_end_process)
        yield
        undo.pop_all()


def _end_process() -> None:
    import wandb

    if wandb.run is None:
        # Its process may be gone already, and W&B knows that only after this, which then raises.
        with contextlib.suppress(OSError, wandb.Error):
            wandb.teardown(exit_code=1)


class WandbOfflineBackend(WandbBackend):
    """Writes a run of W&B's into files, for `wandb sync`; no network is asked for anything.

    Args:
        directory, project, entity, timeout_s: see `WandbBackend`.
    """

    def __init__(
        self, directory: str = "", project: str = "", entity: str = "", *, timeout_s: float = 30.0
    ) -> None:
        super().__init__("offline", directory, project, entity, timeout_s=timeout_s)


def _configure(files: Path) -> None:
    """Set W&B's variables that no setting of a run stands for, unless they are set."""
    if "wandb" not in sys.modules:
        # A process of W&B that belongs to the script would end with it.
        os.environ.pop("WANDB_SERVICE", None)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # errors are told to its makers
    # Copies of artifacts lie beside the runs that they belong to, not in the user's home.
    os.environ.setdefault("WANDB_DATA_DIR", str(files / "steelyard"))


def _why_not(item: Logged) -> str:
    if isinstance(item, Artifact) and not Path(item.path).is_file():
        return "artifacts whose content is gone"
    return unfit(item)


def _tell_end(run: Any, end: RunEnded) -> None:
    run.summary[STATUS] = end.status
    if end.failure is not None:
        failure = end.failure
        text = failure.traceback or f"{failure.type}: {failure.message}"
        run.summary[FAILURE] = text[-_FAILURE_MAX:]
