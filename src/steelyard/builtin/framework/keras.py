"""Keras: the history of a fit, epoch by epoch."""

from typing import Any

from steelyard.domain.track.ports import Patches, Sink


class KerasFramework:
    """What `History` keeps, at its epoch; the optimizer's settings; results of `evaluate`.

    Batches are heard where `batches_every` asks for it, as reading their values may wait for the
    device.
    """

    modules = ("keras",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the list through which Keras tells all callbacks."""
        told = module.callbacks.CallbackList
        patches.watch(told, "on_train_begin", after=_train_begin)
        patches.watch(told, "on_epoch_end", after=_epoch_end)
        patches.watch(told, "on_train_batch_end", after=_batch_end)
        patches.watch(told, "on_test_end", after=_test_end)


def _train_begin(sink: Sink, result: Any, callbacks: Any, logs: Any = None) -> None:
    model = getattr(callbacks, "model", None)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        sink.log_params(optimizer.get_config(), "optimizer")
    sizes = {key: value for key, value in (callbacks.params or {}).items() if key != "verbose"}
    sink.log_params({**sizes, "model": getattr(model, "name", None)}, "fit")


def _epoch_end(sink: Sink, result: Any, callbacks: Any, epoch: int, logs: Any = None) -> None:
    history = getattr(getattr(callbacks, "_history", None), "history", None)
    if history:
        logs = {name: values[-1] for name, values in history.items() if values}
    sink.log_metrics(logs or {}, epoch)


def _batch_end(sink: Sink, result: Any, callbacks: Any, batch: int, logs: Any = None) -> None:
    every = sink.options.get("batches_every") or 0
    if not every:
        return
    number = sink.memory["batches"] = sink.memory.get("batches", -1) + 1
    if number % every == 0:
        sink.log_metrics({f"batch/{name}": value for name, value in (logs or {}).items()}, number)


def _test_end(sink: Sink, result: Any, callbacks: Any, logs: Any = None) -> None:
    # Within a fit it is part of the epoch's history, under names with `val_`.
    if getattr(callbacks, "_in_begin_end_block_count", 0) == 0:
        sink.log_metrics({f"evaluate/{name}": value for name, value in (logs or {}).items()})
