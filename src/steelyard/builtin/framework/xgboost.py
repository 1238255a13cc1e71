"""XGBoost: evaluation results of each boosting round."""

import json
from typing import Any

from steelyard.domain.track.ports import Patches, Sink


class XgboostFramework:
    """What `evals_result` would hold, as `SET/METRIC`, and the parameters that training uses.

    The same through `train`, `cv` and the classes for scikit-learn. Of `cv`, means and deviations.
    """

    modules = ("xgboost.callback",)

    def install(self, module: Any, patches: Patches) -> None:
        """Watch the container through which XGBoost tells all callbacks."""
        container = module.CallbackContainer
        patches.watch(container, "before_training", after=_begins)
        patches.watch(container, "after_iteration", after=_rounds)


def _begins(sink: Sink, model: Any, container: Any, *args: Any, **kwargs: Any) -> None:
    boosters = [fold.bst for fold in model.cvfolds] if container.is_cv else [model]
    learner = json.loads(boosters[0].save_config())["learner"]
    found: dict[str, Any] = {"objective": learner["objective"]["name"]}
    booster = learner["gradient_booster"]
    found["booster"] = booster["name"]
    for name in ("tree_train_param", "gblinear_train_param"):
        found |= {key: _number(value) for key, value in booster.get(name, {}).items()}
    sink.log_params(found, "xgboost")


def _rounds(sink: Sink, result: Any, container: Any, model: Any, epoch: int, *rest: Any) -> None:
    values: dict[str, Any] = {}
    for data, metrics in container.history.items():
        for metric, history in metrics.items():
            if container.is_cv:
                values[f"{data}/{metric}"], values[f"{data}/{metric}_std"] = history[-1]
            else:
                values[f"{data}/{metric}"] = history[-1]
    sink.log_metrics(values, epoch)


def _number(text: Any) -> Any:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return text
    return int(number) if number.is_integer() else number
