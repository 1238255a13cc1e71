"""Lightning: what its trainer hands to loggers, whether it has any or none."""

import sys
from threading import get_ident
from typing import Any

from steelyard.domain.track.ports import Patches, Sink

_ALL = frozenset({"*"})
_CONNECTOR = "trainer.connectors.logger_connector.logger_connector"
_SETTINGS = (
    "max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val",
    "log_every_n_steps", "num_devices", "num_nodes",
)  # fmt: skip


class LightningFramework:
    """Metrics at the trainer's own steps, hyperparameters of the module and its data.

    A run is told by the process of rank 0 alone. What a logger does while it is told (Lightning's
    own for TensorBoard calls a `SummaryWriter`) is heard by nobody: it is the same again.
    """

    modules = ("lightning.pytorch", "pytorch_lightning")

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the one place that all logged metrics go through, and the start of a fit."""
        connector = sys.modules[f"{module.__name__}.{_CONNECTOR}"]
        # The scalars are computed within what is muted: they are taken from there, not made anew.
        patches.watch(connector, "convert_tensors_to_scalars", after=_converted, inner=True)
        told = connector._LoggerConnector  # noqa: SLF001  no public place sees runs without a logger
        patches.watch(told, "log_metrics", before=_logs, after=_logged, mutes=_ALL)
        patches.watch(module.Trainer, "fit", before=_fit)
        # What its loggers do with hyperparameters is no news after that.
        patches.watch(sys.modules[module.Trainer.__module__], "_log_hyperparams", mutes=_ALL)


def _logs(sink: Sink, *args: Any, **kwargs: Any) -> None:
    sink.memory.pop(("scalars", get_ident()), None)  # of a call that did not come back


def _converted(sink: Sink, result: Any, *args: Any, **kwargs: Any) -> None:
    sink.memory["scalars", get_ident()] = dict(result)


def _logged(
    sink: Sink, result: Any, connector: Any, metrics: dict[str, Any], step: int | None = None
) -> None:
    trainer = connector.trainer
    scalars = sink.memory.pop(("scalars", get_ident()), None)
    if not metrics or not trainer.is_global_zero:
        return
    # Without loggers the trainer has computed nothing: what is read here, nobody has read.
    scalars = dict(metrics) if scalars is None else scalars
    if step is None:
        step = scalars.pop("step", None)
        if step is None:
            scalars.setdefault("epoch", trainer.current_epoch)
            step = trainer.fit_loop.epoch_loop._batches_that_stepped  # noqa: SLF001  as its loggers are told
    sink.log_metrics(scalars, int(step))


def _fit(
    sink: Sink,
    trainer: Any,
    model: Any,
    train_dataloaders: Any = None,
    val_dataloaders: Any = None,
    datamodule: Any = None,
    *rest: Any,
    **named: Any,
) -> None:
    if not trainer.is_global_zero:
        return
    for part in (datamodule, model):
        hparams = getattr(part, "hparams_initial", None)
        if hparams:
            sink.log_params({k: v for k, v in hparams.items() if k != "_class_path"})
    told = {name: getattr(trainer, name, None) for name in _SETTINGS}
    sink.log_params({**told, "model": type(model).__name__}, "trainer")
