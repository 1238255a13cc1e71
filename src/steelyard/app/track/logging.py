"""The two lines of a script: start logging, stop logging."""

from typing import Any

from steelyard.app.track.active import active
from steelyard.app.track.experiment import DEFAULT_PROJECT, Experiment


def start_logging(
    exp_name: str, project: str | None = None, backend: Any = None, **options: Any
) -> Experiment:
    """Start an experiment and make it the active one.

    Args:
        exp_name: what is tried.
        project: what it belongs to; `default` without it.
        backend: where it is mirrored to, beside the journal, which is always kept.
        options: see `Experiment`.

    Raises:
        UsageError: an argument can't be used.
        PluginError: a backend can't be used.
        JournalError: the run can't be written.
    """
    return Experiment(exp_name, project or DEFAULT_PROJECT, backend, **options).start()


def stop_logging(status: str = "finished", error: BaseException | None = None) -> None:
    """Stop the active experiment; without one, do nothing."""
    experiment = active()
    if experiment is not None:
        experiment.stop(status, error)


def get_active_experiment() -> Experiment | None:
    """Return the experiment started last in this thread or task; else in this process; or None."""
    found = active()
    return found if isinstance(found, Experiment) else None
