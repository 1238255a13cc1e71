"""A run is told what XGBoost keeps in `evals_result`."""

import sys

import numpy as np
import pytest
import xgboost

from steelyard.builtin.framework.xgboost import XgboostFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

PARAMS = {"max_depth": 2, "eta": 0.25, "objective": "binary:logistic", "nthread": 1, "seed": 7}


def arrays(rows=60):
    rng = np.random.default_rng(7)
    features = rng.random((rows, 3))
    return features, (features.sum(axis=1) > 1.5).astype(int)


def numbered(results):
    return {
        f"{data}/{metric}": list(enumerate(values))
        for data, metrics in results.items()
        for metric, values in metrics.items()
    }


class TestXgboost(FrameworkContract):
    @pytest.fixture
    def subject(self):
        module = sys.modules["xgboost.callback"]

        def use():
            matrix, results = xgboost.DMatrix(*arrays()), {}
            evals = [(matrix, "train"), (matrix, "val")]
            xgboost.train(
                {**PARAMS, "eval_metric": ["logloss", "auc"]}, matrix, 4, evals=evals,
                evals_result=results, verbose_eval=False,
            )  # fmt: skip
            params = {"xgboost.max_depth": 2, "xgboost.eta": 0.25, "xgboost.booster": "gbtree"}
            return Told(numbered(results), params)

        touched = [module.CallbackContainer, module, xgboost, xgboost.training]
        return FrameworkSubject(XgboostFramework, lambda: [module], use, lambda: touched)


def test_the_class_for_scikit_learn_tells_the_same(tracked):
    """Both frameworks see it: one its rounds, the other its parameters."""
    with tracked(["xgboost", "sklearn"]) as told:
        model = xgboost.XGBClassifier(n_estimators=3, max_depth=2, n_jobs=1)
        model.fit(*arrays(), eval_set=[arrays()], verbose=False)
    ((name, values),) = numbered(model.evals_result()).items()
    assert told.series(name) == (3, *values[-1])
    assert told.run.params["XGBClassifier.n_estimators"] == 3
    assert told.run.params["xgboost.max_depth"] == 2


def test_a_cross_validation_tells_means_and_deviations(tracked):
    with tracked(["xgboost"]) as told:
        matrix = xgboost.DMatrix(*arrays())
        table = xgboost.cv(PARAMS, matrix, 3, nfold=2, as_pandas=False, metrics="logloss")
    for name in ("train", "test"):
        mean, deviation = table[f"{name}-logloss-mean"], table[f"{name}-logloss-std"]
        assert told.series(f"{name}/logloss") == (3, 2, mean[-1])
        assert told.series(f"{name}/logloss_std") == (3, 2, deviation[-1])


def test_a_training_that_stops_early_ends_with_its_last_round(tracked):
    with tracked(["xgboost"]) as told:
        matrix, results = xgboost.DMatrix(*arrays()), {}
        xgboost.train(
            {**PARAMS, "eta": 0}, matrix, 50, evals=[(matrix, "val")], early_stopping_rounds=2,
            evals_result=results, verbose_eval=False,
        )  # fmt: skip
    values = results["val"]["logloss"]
    assert len(values) < 50
    assert told.series("val/logloss") == (len(values), len(values) - 1, values[-1])


def test_a_training_without_evaluation_tells_its_parameters_alone(tracked):
    with tracked(["xgboost"]) as told:
        xgboost.train(
            {"objective": "binary:logistic", "booster": "gblinear"}, xgboost.DMatrix(*arrays()), 2
        )
    assert told.run.metrics == {}
    assert told.run.params["xgboost.booster"] == "gblinear"
    assert told.run.params["xgboost.objective"] == "binary:logistic"
