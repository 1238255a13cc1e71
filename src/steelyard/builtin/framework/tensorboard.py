"""TensorBoard: what scripts tell a `SummaryWriter`, PyTorch's or that of tensorboardX."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from steelyard.domain.track.ports import Patches, Sink

_ALL = frozenset({"*"})


class TensorboardFramework:
    """Scalars under their tags, parameters of `add_hparams` under their names.

    The first log directory of a run gives its tags as they are; those of another begin with the
    last part of its path, so that `loss` of two writers stays two metrics.
    """

    modules = ("torch.utils.tensorboard.writer", "tensorboardX.writer")

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the writer's methods for scalars and parameters."""
        writer = module.SummaryWriter
        patches.watch(writer, "add_scalar", arguments=_on_host, after=_scalar, mutes=_ALL)
        patches.watch(writer, "add_scalars", arguments=_all_on_host, after=_scalars, mutes=_ALL)
        patches.watch(writer, "add_hparams", after=_hparams, mutes=_ALL)


def _on_host(
    writer: Any, tag: str, scalar_value: Any, *rest: Any, **named: Any
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Bring a value from its device once, for the writer and for us."""
    moved = _moved(scalar_value)
    return None if moved is scalar_value else ((writer, tag, moved, *rest), named)


def _all_on_host(
    writer: Any, main_tag: str, tag_scalar_dict: Mapping[str, Any], *rest: Any, **named: Any
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    moved = {tag: _moved(value) for tag, value in tag_scalar_dict.items()}
    if all(moved[tag] is value for tag, value in tag_scalar_dict.items()):
        return None
    return (writer, main_tag, moved, *rest), named


def _moved(value: Any) -> Any:
    device = getattr(getattr(value, "device", None), "type", "cpu")
    return value if device == "cpu" else value.detach().cpu()


def _scalar(
    sink: Sink,
    result: Any,
    writer: Any,
    tag: str,
    scalar_value: Any,
    global_step: Any = None,
    *rest: Any,
    **named: Any,
) -> None:
    if not isinstance(scalar_value, str):  # the name of a Caffe2 blob, long ago
        sink.log_metrics({_prefix(sink, writer) + tag: scalar_value}, global_step)


def _scalars(
    sink: Sink,
    result: Any,
    writer: Any,
    main_tag: str,
    tag_scalar_dict: Mapping[str, Any],
    global_step: Any = None,
    *rest: Any,
    **named: Any,
) -> None:
    prefix = _prefix(sink, writer)
    values = {f"{prefix}{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
    sink.log_metrics(values, global_step)


def _hparams(
    sink: Sink,
    result: Any,
    writer: Any,
    hparam_dict: Mapping[str, Any],
    metric_dict: Mapping[str, Any],
    *rest: Any,
    **named: Any,
) -> None:
    sink.log_params(hparam_dict)
    # Before it come a list of domains in one of the two libraries, and a name in both.
    step = named.get("global_step", next((r for r in rest if type(r) is int), None))
    prefix = _prefix(sink, writer)
    sink.log_metrics({prefix + tag: value for tag, value in metric_dict.items()}, step)


def _prefix(sink: Sink, writer: Any) -> str:
    directory = str(getattr(writer, "log_dir", None) or getattr(writer, "logdir", "") or "")
    prefixes: dict[str, str] | None = sink.memory.get("prefixes")
    if prefixes is None:
        prefixes = sink.memory["prefixes"] = {directory: ""}
    if directory not in prefixes:
        prefix = f"{PurePath(directory).name}/"
        taken = prefix in prefixes.values()
        prefixes[directory] = f"{directory}/" if taken else prefix
    return prefixes[directory]
