"""A run is told what scikit-learn's estimators are fitted with and what they score."""

import importlib
import sys

import numpy as np
import pytest
import sklearn.base
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from steelyard.builtin.framework.sklearn import SklearnFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told


def data(rows=60):
    rng = np.random.default_rng(7)
    features = rng.random((rows, 3))
    return features, (features.sum(axis=1) > 1.5).astype(int)


class TestSklearn(FrameworkContract):
    @pytest.fixture
    def subject(self):
        def use():
            fitted = LogisticRegression(C=0.5).fit(*data())
            score = fitted.score(*data())
            params = {"LogisticRegression.C": 0.5, "LogisticRegression.max_iter": 100}
            return Told({"score/LogisticRegression": [(None, score)]}, params)

        touched = [
            sklearn.base.BaseEstimator, sklearn.base.ClassifierMixin, LogisticRegression, Pipeline,
            vars(Pipeline)["score"], GridSearchCV, StandardScaler, sklearn.base,
        ]  # fmt: skip
        return FrameworkSubject(SklearnFramework, lambda: [sklearn.base], use, lambda: touched)


def test_a_pipeline_is_told_as_one(tracked):
    """Its steps are parameters of it; no fit or score within is told apart."""
    with tracked(["sklearn"]) as told:
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=2.0)).fit(*data())
        score = fitted.score(*data())
    assert list(told.run.metrics) == ["score/Pipeline"]
    assert told.series("score/Pipeline") == (1, 0, score)
    params = told.run.params
    assert params["Pipeline.logisticregression"] == "LogisticRegression"
    assert params["Pipeline.logisticregression__C"] == 2.0
    assert {name.partition(".")[0] for name in params} == {"Pipeline"}


def test_a_search_tells_what_it_found_best(tracked):
    with tracked(["sklearn"]) as told:
        search = GridSearchCV(LogisticRegression(), {"C": [0.01, 10.0]}, cv=2).fit(*data())
    assert list(told.run.metrics) == ["best_score/GridSearchCV"]
    assert told.series("best_score/GridSearchCV") == (1, 0, search.best_score_)
    assert told.run.params["GridSearchCV.best.C"] == search.best_params_["C"]
    assert told.run.params["GridSearchCV.estimator"] == "LogisticRegression"


def test_scores_of_a_cross_validation_are_a_series(tracked):
    with tracked(["sklearn"]) as told:
        scores = cross_val_score(LogisticRegression(), *data(), cv=3)
    assert told.series("score/LogisticRegression") == (3, 2, scores[-1])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
def test_a_loss_that_the_estimator_keeps_is_told(tracked):
    with tracked(["sklearn"]) as told:
        fitted = MLPClassifier((4,), max_iter=5, random_state=7).fit(*data())
    assert told.series("loss/MLPClassifier") == (5, 4, fitted.loss_curve_[-1])


def test_estimators_that_are_defined_later_are_heard(tracked, tmp_path, monkeypatch):
    """The script's own, and modules of scikit-learn that are imported after the run began."""
    assert "sklearn.naive_bayes" not in sys.modules
    with tracked(["sklearn"]) as told:
        bayes = importlib.import_module("sklearn.naive_bayes").GaussianNB
        bayes().fit(*data()).score(*data())

        class Mean(sklearn.base.RegressorMixin, sklearn.base.BaseEstimator):
            def __init__(self, shift=0.5):
                self.shift = shift

            def fit(self, features, targets):
                self.mean_ = targets.mean() + self.shift
                return self

            def predict(self, features):
                return np.full(len(features), self.mean_)

        Mean().fit(*data()).score(*data())
    assert set(told.run.metrics) == {"score/GaussianNB", "score/Mean"}
    assert told.run.params["Mean.shift"] == 0.5
    assert not hasattr(bayes.fit, "__steelyard_place__")
    assert not hasattr(Mean.fit, "__steelyard_place__")


def test_a_fit_that_fails_fails_as_before(tracked):
    with tracked(["sklearn"]) as told, pytest.raises(ValueError, match="C"):
        LogisticRegression(C=-1).fit(*data())
    assert told.run.params == {}


def test_an_estimator_can_be_copied_and_pickled_meanwhile(tracked):
    import pickle

    with tracked(["sklearn"]):
        fitted = LogisticRegression(C=0.5).fit(*data())
        again = pickle.loads(pickle.dumps(sklearn.base.clone(fitted).fit(*data())))  # noqa: S301  ours
    assert (again.coef_ == fitted.coef_).all()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # how joblib makes its workers
def test_a_scripts_own_estimator_is_sent_to_other_processes(tracked):
    """It goes there as code, with our hook in it, which is silent there and comes to nothing."""

    class Mean(sklearn.base.RegressorMixin, sklearn.base.BaseEstimator):
        def fit(self, features, targets):
            self.mean_ = targets.mean()
            return self

        def predict(self, features):
            return np.full(len(features), self.mean_)

    alone = cross_val_score(Mean(), *data(), cv=2, n_jobs=2)
    with tracked(["sklearn"]) as told:
        heard = cross_val_score(Mean(), *data(), cv=2, n_jobs=2)
    assert heard.tolist() == alone.tolist()
    assert told.run.metrics == {}
