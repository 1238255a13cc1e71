"""Hugging Face Transformers: what its `Trainer` logs."""

from typing import Any

from steelyard.domain.track.ports import Patches, Sink

_ALL = frozenset({"*"})
_TOLD_ANYWAY = frozenset({"torch"})


class TransformersFramework:
    """All that goes into the trainer's `log_history`, at its step; its arguments, without tokens.

    A run is told by the process of rank 0 alone. While the trainer trains, PyTorch's own optimizer
    hook is silent, as the trainer logs the learning rate; while it logs, nobody hears what its
    reporting callbacks tell others.
    """

    modules = ("transformers.trainer",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the trainer's start, and its one way to log."""
        patches.watch(module.Trainer, "train", before=_train, mutes=_TOLD_ANYWAY)
        patches.watch(module.Trainer, "log", after=_logged, mutes=_ALL)


def _train(sink: Sink, trainer: Any, *args: Any, **kwargs: Any) -> None:
    if not trainer.is_world_process_zero():
        return
    sink.log_params(trainer.args.to_dict(), "training")
    config = getattr(trainer.model, "config", None)
    sink.log_params({"class": type(trainer.model).__name__,
                     "type": getattr(config, "model_type", None)}, "model")  # fmt: skip


def _logged(sink: Sink, result: Any, trainer: Any, *args: Any, **kwargs: Any) -> None:
    if trainer.is_world_process_zero() and trainer.state.log_history:
        values = dict(trainer.state.log_history[-1])
        step = values.pop("step", trainer.state.global_step)
        sink.log_metrics({k: v for k, v in values.items() if not isinstance(v, str)}, step)
