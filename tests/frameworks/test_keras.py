"""A run is told what Keras keeps in its own `History`."""

import keras
import numpy as np
import pytest
import torch

from steelyard.builtin.framework.keras import KerasFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings(
    # of numpy, at how Keras reads a variable of PyTorch
    "ignore:__array__ implementation:DeprecationWarning"
)


def data(rows=32):
    rng = np.random.default_rng(7)
    return rng.random((rows, 3), dtype=np.float32), rng.random(rows, dtype=np.float32)


def model(seed=7):
    keras.utils.set_random_seed(seed)
    made = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(0.05, momentum=0.5), "mse", metrics=["mae"])
    return made


def numbered(history):
    return {name: list(enumerate(values)) for name, values in history.items()}


class TestKeras(FrameworkContract):
    @pytest.fixture
    def subject(self):
        def use():
            fitted = model().fit(*data(), epochs=3, batch_size=8, validation_split=0.25, verbose=0)
            params = {"fit.epochs": 3, "fit.steps": 3, "optimizer.momentum": 0.5}
            return Told(numbered(fitted.history), params)

        told = keras.callbacks.CallbackList
        return FrameworkSubject(
            KerasFramework, lambda: [keras], use, lambda: [told, keras.Model, keras.callbacks]
        )


def test_a_run_has_the_history_of_a_fit(tracked):
    """Validation within it is not told as an evaluation too."""
    with tracked(["keras"]) as told:
        fitted = model().fit(*data(), epochs=2, validation_data=data(8), verbose=0)
    assert {name: told.series(name) for name in told.run.metrics} == {
        name: (2, 1, values[-1]) for name, values in fitted.history.items()
    }
    assert "optimizer.learning_rate" in told.run.params


def test_a_fit_that_goes_on_keeps_its_epochs(tracked):
    with tracked(["keras"]) as told:
        made = model()
        made.fit(*data(), epochs=2, verbose=0)
        made.fit(*data(), epochs=4, initial_epoch=2, verbose=0)
    assert told.series("loss")[:2] == (4, 3)


def test_an_evaluation_is_told_by_its_own_name(tracked):
    with tracked(["keras"]) as told:
        found = model().evaluate(*data(), verbose=0, return_dict=True)
    assert {name: told.series(name) for name in told.run.metrics} == {
        f"evaluate/{name}": (1, 0, value) for name, value in found.items()
    }


def test_batches_are_heard_where_they_are_asked_for(tracked):
    seen = []

    class Collects(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(float(logs["loss"]))

    with tracked({"keras": {"batches_every": 3}}) as told:
        model().fit(*data(), epochs=2, batch_size=8, verbose=0, callbacks=[Collects()])
    assert len(seen) == 8
    assert told.series("batch/loss") == (3, 6, pytest.approx(seen[6]))


def test_a_fit_that_is_interrupted_keeps_what_it_had(tracked):
    class Stops(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with tracked(["keras"]) as told, pytest.raises(KeyboardInterrupt):
        model().fit(*data(), epochs=5, verbose=0, callbacks=[Stops()])
    assert told.series("loss")[:2] == (2, 1)
