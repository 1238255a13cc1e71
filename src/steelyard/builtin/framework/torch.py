"""PyTorch: what its optimizers are set to, and the learning rate of each of their steps."""

import sys
from typing import Any
from weakref import WeakKeyDictionary

from steelyard.domain.track.ports import Patches, Sink

OPTIMIZERS_MAX = 16
"""Optimizers of one run that are told apart; further ones are not looked at."""

_PLAIN = (bool, int, float, str)


class _Seen:
    """What a run knows of one optimizer."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.steps = 0
        self.rates: list[float] = []


class TorchFramework:
    """Hyperparameters of an optimizer at its first step; its learning rate whenever that changed.

    The loss is not there to be seen: what `backward` is called on need not be it, and reading it
    would wait for the device. Norms of gradients cost a pass over all of them, and a wait: they
    are computed at every n-th step where `gradients_every` asks for it.
    """

    modules = ("torch.optim.optimizer",)

    def install(self, module: Any, patches: Patches) -> None:
        """Have every optimizer's step heard, by PyTorch's own hook."""
        heard = patches.hook(_stepped)
        torch = sys.modules["torch"]  # not whole yet

        def stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
            if (
                not torch.compiler.is_compiling()
            ):  # a compiler would make the hook part of the graph
                heard(optimizer)

        patches.on_undo(module.register_optimizer_step_post_hook(stepped).remove)


def _stepped(sink: Sink, optimizer: Any) -> None:
    seen = _seen(sink, optimizer)
    if seen is None:
        return
    step = seen.steps
    seen.steps = step + 1
    rates = [group["lr"] for group in optimizer.param_groups if "lr" in group]
    if any(type(rate) is not float for rate in rates):
        rates = [rate for rate in map(_rate, rates) if rate is not None]
    if step == 0:
        sink.log_params(_hyperparameters(optimizer), seen.label)
    if rates != seen.rates:
        seen.rates = rates
        sink.log_metrics(_by_group("lr", seen.label, rates), step)
    every = sink.options.get("gradients_every") or 0
    if every and step % every == 0:
        sink.log_metrics(_norms(optimizer, seen.label), step)


def _seen(sink: Sink, optimizer: Any) -> _Seen | None:
    known: WeakKeyDictionary[Any, _Seen] | None = sink.memory.get("optimizers")
    if known is None:
        known = sink.memory["optimizers"] = WeakKeyDictionary()
    found = known.get(optimizer)
    if found is None:
        number = sink.memory["count"] = sink.memory.get("count", 0) + 1
        if number > OPTIMIZERS_MAX:
            return None
        found = known[optimizer] = _Seen("optimizer" if number == 1 else f"optimizer{number}")
    return found


def _rate(value: Any) -> float | None:
    """Return a rate; None for one that lies on a device, which would have to be waited for."""
    device = getattr(getattr(value, "device", None), "type", "cpu")
    return float(value) if device == "cpu" else None


def _hyperparameters(optimizer: Any) -> dict[str, Any]:
    groups = [
        {key: value for key, value in group.items() if _is_plain(value) and key != "initial_lr"}
        for group in optimizer.param_groups
    ]
    same = {key: value for key, value in groups[0].items() if all(key in g and g[key] == value
                                                                for g in groups)}  # fmt: skip
    found: dict[str, Any] = {"name": type(optimizer).__name__, **same}
    for number, group in enumerate(groups):
        differing = {key: value for key, value in group.items() if key not in same}
        if differing:
            found[f"group{number}"] = differing
    sizes = [parameter.numel() for group in optimizer.param_groups for parameter in group["params"]]
    return {**found, "parameters": sum(sizes), "tensors": len(sizes)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) <= len("betas") and all(isinstance(item, _PLAIN) for item in value)
    return isinstance(value, _PLAIN)


def _by_group(name: str, label: str, values: list[float]) -> dict[str, float]:
    prefix = name if label == "optimizer" else f"{label}/{name}"
    if len(set(values)) == 1:
        return {prefix: values[0]}
    return {f"{prefix}/{number}": value for number, value in enumerate(values)}


def _norms(optimizer: Any, label: str) -> dict[str, float]:
    torch = sys.modules["torch"]
    prefix = "grad_norm" if label == "optimizer" else f"{label}/grad_norm"
    names: list[str] = []
    norms: list[Any] = []
    for number, group in enumerate(optimizer.param_groups):
        given = group.get("param_names") or [f"{number}.{i}" for i in range(len(group["params"]))]
        for name, parameter in zip(given, group["params"], strict=True):
            if parameter.grad is not None:
                names.append(f"{prefix}/{name}")
                norms.append(torch.linalg.vector_norm(parameter.grad.detach()).to("cpu"))
    if not norms:
        return {}
    values = dict(zip(names, map(float, norms), strict=True))
    return {prefix: sum(value**2 for value in values.values()) ** 0.5, **values}
