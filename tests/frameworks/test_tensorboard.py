"""What a `SummaryWriter` is told, a run is told: read back from TensorBoard's own event files."""

import importlib
import tempfile
from pathlib import Path

import pytest

from steelyard.builtin.framework.tensorboard import TensorboardFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

MODULES = {
    "torch": "torch.utils.tensorboard.writer",
    "tensorboardX": "tensorboardX.writer",
}

pytestmark = pytest.mark.filterwarnings(
    # protobuf's C classes, and numpy's name for a function that it renamed.
    "ignore:.*MessageMapContainer.*:DeprecationWarning",
    "ignore:.*ScalarMapContainer.*:DeprecationWarning",
    "ignore:.*in1d.*:DeprecationWarning",
)


def read_back(directory):
    """Return `(step, value)` by tag from all event files, those of each sub-directory apart."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for file in sorted(Path(directory).rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            key = (file.parent.relative_to(directory).as_posix(), tag)
            found[key] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def subject_of(module):
    def use():
        with tempfile.TemporaryDirectory() as name:
            writer = module.SummaryWriter(name)
            for step in range(3):
                writer.add_scalar("loss", 1 / 2**step, step)
                writer.add_scalar("val/accuracy", step / 4, global_step=step)
                writer.add_scalars("both", {"a": step, "b": -step}, step)
            writer.add_hparams({"rate": 0.5, "name": "adam"}, {"hp/final": 0.25}, global_step=3)
            writer.close()
            found = read_back(name)
        metrics = {tag: values for (_, tag), values in found.items() if tag != "both"}
        for (where, tag), values in found.items():
            if tag == "both":  # each of them is a sub-directory of its own
                metrics[f"both/{where[-1]}"] = values
        return Told(metrics, {"rate": 0.5, "name": "adam"})

    return FrameworkSubject(
        TensorboardFramework, lambda: [module], use, lambda: [module.SummaryWriter, module]
    )


@pytest.mark.parametrize("name", MODULES)
class TestTensorboard(FrameworkContract):
    @pytest.fixture
    def subject(self, name):
        return subject_of(importlib.import_module(MODULES[name]))


@pytest.fixture(params=MODULES)
def writer_class(request):
    return importlib.import_module(MODULES[request.param]).SummaryWriter


def test_a_run_has_what_the_event_files_have(tracked, writer_class, tmp_path):
    """Tensors, numpy's numbers, NaN, and values without a step."""
    import numpy as np
    import torch

    with tracked(["tensorboard"]) as told, writer_class(str(tmp_path / "tb")) as writer:
        writer.add_scalar("tensor", torch.tensor(0.5), 7)
        writer.add_scalar("numpy", np.float32(0.25), np.int64(8))
        writer.add_scalar("nan", float("nan"), 0)
        writer.add_scalar("free", 1.0)
        writer.add_scalar("free", 2.0)
    files = {tag: values for (_, tag), values in read_back(tmp_path / "tb").items()}
    assert told.series("tensor") == (1, *files["tensor"][-1]) == (1, 7, 0.5)
    assert told.series("numpy") == (1, *files["numpy"][-1]) == (1, 8, 0.25)
    assert told.run.metrics["nan"].non_finite == 1
    assert told.series("free") == (2, 1, 2.0)


def test_two_writers_are_told_apart_by_their_directories(tracked, writer_class, tmp_path):
    """`loss` of both would be one series with two values at each step."""
    with tracked(["tensorboard"]) as told:
        writers = [writer_class(str(tmp_path / "tb" / name)) for name in ("train", "test")]
        for step in range(2):
            for number, writer in enumerate(writers):
                writer.add_scalar("loss", number + step, step)
        for writer in writers:
            writer.close()
    assert {name: told.series(name) for name in told.run.metrics} == {
        "loss": (2, 1, 1.0),
        "test/loss": (2, 1, 2.0),
    }


def test_what_the_writer_refuses_is_not_told(tracked, writer_class, tmp_path):
    """The error is the writer's own, and reaches the script."""
    with tracked(["tensorboard"]) as told, writer_class(str(tmp_path / "tb")) as writer:
        with pytest.raises((AssertionError, NotImplementedError, ValueError, TypeError)):
            writer.add_scalar("many", [object()], 0)
        writer.add_scalar("one", 1.0, 0)
    assert list(told.run.metrics) == ["one"]


def test_a_value_on_a_device_is_brought_from_there_once(tracked, writer_class, tmp_path):
    """A device that counts: the writer and the run share one copy."""

    class OnDevice:
        device = type("Device", (), {"type": "cuda"})()
        copies = 0

        def detach(self):
            return self

        def cpu(self):
            self.copies += 1
            import torch

            return torch.tensor(0.5)

    value = OnDevice()
    with tracked(["tensorboard"]) as told, writer_class(str(tmp_path / "tb")) as writer:
        writer.add_scalar("loss", value, 3)
        writer.add_scalars("both", {"a": value, "b": 1.0}, 3)
    assert value.copies == 2
    assert told.series("loss") == (1, 3, 0.5)
    assert told.series("both/a") == (1, 3, 0.5)
