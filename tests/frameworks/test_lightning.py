"""A run is told what Lightning hands to loggers: the same names, values and steps."""

import importlib
import math
import sys

import pytest
import torch

from steelyard.builtin.framework.lightning import LightningFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

ROOTS = ("lightning.pytorch", "pytorch_lightning")
CONNECTOR = "trainer.connectors.logger_connector.logger_connector"

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings(
        # Lightning's own advice to its users, and its use of what PyTorch has renamed.
        "ignore:.*does not have many workers:UserWarning",
        "ignore:.*`isinstance.treespec, LeafSpec.`:FutureWarning",
        "ignore:.*TensorBoardLogger:UserWarning",
        "ignore:.*ScalarMapContainer|.*MessageMapContainer:DeprecationWarning",
    ),
]


@pytest.fixture(params=ROOTS)
def pl(request):
    """Return Lightning under one of its two names."""
    return importlib.import_module(request.param)


def parts_of(pl):
    """Return the classes of a small training: a module, its data, a logger that keeps all."""

    class Module(pl.LightningModule):
        def __init__(self, rate=0.125, width=2):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, 1)

        def training_step(self, batch, index):
            loss = self.layer(batch[0]).pow(2).mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, index):
            self.log_dict({"val/mean": self.layer(batch[0]).mean(), "val/count": 4.0})

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)

    class Data(pl.LightningDataModule):
        def __init__(self, batch_size=4):
            super().__init__()
            self.save_hyperparameters()

        def rows(self):
            rows = torch.arange(32.0).reshape(16, 2) / 32
            dataset = torch.utils.data.TensorDataset(rows)
            return torch.utils.data.DataLoader(dataset, batch_size=self.hparams.batch_size)

        train_dataloader = val_dataloader = rows

    class Keeper(pl.loggers.logger.Logger):
        name, version = "keeper", "0"

        def __init__(self):
            super().__init__()
            self.told = Told()

        def log_metrics(self, metrics, step=None):
            for name, value in metrics.items():
                self.told.metrics.setdefault(name, []).append((step, float(value)))

        def log_hyperparams(self, params, *args, **kwargs):
            self.told.params.update(dict(params))

    return Module, Data, Keeper


def fit(pl, logger, tmp_path=None, **options):
    """Train for two epochs, validated; return the trainer."""
    module, data, _ = parts_of(pl)
    pl.seed_everything(7, verbose=False)
    trainer = pl.Trainer(
        max_epochs=2, log_every_n_steps=2, logger=logger, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        default_root_dir=tmp_path, **options,
    )  # fmt: skip
    trainer.fit(module(), datamodule=data())
    return trainer


@pytest.mark.parametrize("root", ROOTS)
class TestLightning(FrameworkContract):
    @pytest.fixture
    def subject(self, root):
        pl = importlib.import_module(root)
        connector = sys.modules[f"{root}.{CONNECTOR}"]

        def use():
            logger = parts_of(pl)[2]()
            fit(pl, logger)
            return logger.told

        touched = [
            pl.Trainer, connector, connector._LoggerConnector, sys.modules[pl.Trainer.__module__],
        ]  # fmt: skip
        return FrameworkSubject(LightningFramework, lambda: [pl], use, lambda: touched)


def told_of(run):
    """Return what a run has of each metric, the same form for a run and for a logger."""
    return {name: (s.count, s.last_step, s.last) for name, s in run.metrics.items()}


def kept_by(logger):
    return {name: (len(v), *v[-1]) for name, v in logger.told.metrics.items()}


def test_a_run_has_what_a_logger_has(tracked, pl):
    logger = parts_of(pl)[2]()
    with tracked(["lightning"]) as told:
        fit(pl, logger)
    assert told_of(told.run) == kept_by(logger)
    assert {"loss_step", "loss_epoch", "val/mean", "epoch"} <= set(told.run.metrics)
    params = told.run.params
    assert (params["rate"], params["width"], params["batch_size"]) == (0.125, 2, 4)
    assert (params["trainer.max_epochs"], params["trainer.model"]) == (2, "Module")


def test_a_trainer_without_a_logger_tells_the_same(tracked, pl):
    """And stays one without a logger."""
    logger = parts_of(pl)[2]()
    fit(pl, logger)
    with tracked(["lightning"]) as told:
        trainer = fit(pl, False)
    assert trainer.loggers == []
    assert told_of(told.run) == kept_by(logger)


def test_a_logger_of_tensorboard_doubles_nothing(tracked, pl, tmp_path):
    """Lightning is told of once, though its logger calls a SummaryWriter that is watched too."""
    logger = parts_of(pl)[2]()
    fit(pl, logger)
    with tracked(["lightning", "tensorboard", "torch"]) as told:
        fit(pl, pl.loggers.TensorBoardLogger(tmp_path / "tb"))
    found = told_of(told.run)
    assert found.pop("lr") == (1, 0, 0.125)
    assert found == kept_by(logger)
    assert told.run.params["optimizer.name"] == "SGD"


def test_values_are_read_from_their_device_no_more_than_lightning_does(tracked, pl, monkeypatch):
    """A tensor's `item` waits for its device: as many calls with a run as without."""
    calls = []
    item = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda self: calls.append(1) or item(self))
    counts = []
    for automagic in (False, ["lightning"]):
        calls.clear()
        with tracked(automagic):
            fit(pl, parts_of(pl)[2]())
        counts.append(len(calls))
    assert counts[0] == counts[1] > 0


def test_a_test_and_a_validation_alone_are_told(tracked, pl):
    logger = parts_of(pl)[2]()
    with tracked(["lightning"]) as told:
        module, data, _ = parts_of(pl)
        trainer = pl.Trainer(
            logger=logger, accelerator="cpu", enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        (result,) = trainer.validate(module(), data(), verbose=False)
    assert told_of(told.run) == kept_by(logger)
    assert math.isclose(told.run.metrics["val/mean"].last, result["val/mean"], rel_tol=1e-6)
