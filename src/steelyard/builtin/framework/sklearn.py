"""scikit-learn: what estimators are fitted with, and what they score."""

from functools import partial
from typing import Any

from steelyard.domain.track.ports import Patches, Sink

_SAME = frozenset({"sklearn"})
_METHODS = ("fit", "score")
_PLAIN = (bool, int, float, str, type(None))


class SklearnFramework:
    """Parameters of each fit under the estimator's class, scores as `score/CLASS`.

    Only what the script calls itself: estimators within a pipeline or a search are part of it.
    """

    modules = ("sklearn.base",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the classes there are, and those that are defined later."""
        base = module.BaseEstimator
        for cls in _classes(base):
            _watch(patches, cls)
        for mixin in (module.ClassifierMixin, module.RegressorMixin):
            patches.watch(mixin, "score", after=_scored, mutes=_SAME)
        patches.watch(base, "__init_subclass__", after=partial(_defined, patches), inner=True)


def _classes(base: type) -> list[type]:
    """Return `base` and all classes below it, each once."""
    found: dict[type, None] = {base: None}
    pending: list[Any] = [base]
    while pending:
        for cls in pending.pop().__subclasses__():
            if cls not in found:
                found[cls] = None
                pending.append(cls)
    return list(found)


def _watch(patches: Patches, cls: type) -> None:
    for name, seen in zip(_METHODS, (_fitted, _scored), strict=True):
        method = vars(cls).get(name)
        if callable(method):
            patches.watch(cls, name, after=seen, mutes=_SAME)
        elif callable(getattr(method, "fn", None)):  # one that is there under a condition
            patches.watch(method, "fn", after=seen, mutes=_SAME)


def _defined(patches: Patches, sink: Sink, result: Any, cls: type, **kwargs: Any) -> None:
    _watch(patches, cls)


def _fitted(sink: Sink, result: Any, estimator: Any, *args: Any, **kwargs: Any) -> None:
    label = type(estimator).__name__
    sink.log_params({k: _plain(v) for k, v in estimator.get_params(deep=True).items()}, label)
    best = getattr(estimator, "best_params_", None)
    if isinstance(best, dict):
        sink.log_params({k: _plain(v) for k, v in best.items()}, f"{label}.best")
        sink.log_metrics({f"best_score/{label}": estimator.best_score_})
    losses = getattr(estimator, "loss_curve_", None)
    if isinstance(losses, list):
        for step, loss in enumerate(losses):
            sink.log_metrics({f"loss/{label}": loss}, step)


def _scored(sink: Sink, result: Any, estimator: Any, *args: Any, **kwargs: Any) -> None:
    sink.log_metrics({f"score/{type(estimator).__name__}": result})


def _plain(value: Any) -> Any:
    """Return a parameter that is itself a number or text; of anything else, its class."""
    return value if isinstance(value, _PLAIN) else type(value).__name__
