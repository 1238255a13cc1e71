"""A run is told what the `Trainer` of Hugging Face keeps in its `log_history`."""

import sys
import tempfile

import pytest
import torch

from steelyard.builtin.framework.transformers import TransformersFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings(
    # Of the libraries at each other: none is about what is tested here.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore:.*pin_memory:UserWarning",
)
DURATIONS = frozenset({
    "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "train_runtime",
    "train_samples_per_second", "train_steps_per_second",
})  # fmt: skip
TOKEN = "hf_" + "aB3" * 12


def rows(count=16):
    torch.manual_seed(7)
    return [
        {"input_ids": torch.randint(0, 40, (6,)), "labels": torch.tensor(n % 2)}
        for n in range(count)
    ]


def trainer(directory, **options):
    """Return a trainer of a model with a few hundred parameters, and random rows."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=8,
    )  # fmt: skip
    settings = {
        "max_steps": 4, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 3,
        "save_strategy": "no", "report_to": [], "per_device_train_batch_size": 4, "use_cpu": True,
        "disable_tqdm": True, "seed": 7,
    }  # fmt: skip
    arguments = TrainingArguments(str(directory), **{**settings, **options})
    model = BertForSequenceClassification(config)
    return Trainer(model, arguments, train_dataset=rows(), eval_dataset=rows())


def numbered(history):
    found = {}
    for entry in history:
        for name, value in entry.items():
            if name != "step":
                found.setdefault(name, []).append((entry["step"], value))
    return found


def told_of(run):
    return {name: (s.count, s.last_step, s.last) for name, s in run.metrics.items()}


def kept_by(trained):
    return {name: (len(v), *v[-1]) for name, v in numbered(trained.state.log_history).items()}


class TestTransformers(FrameworkContract):
    @pytest.fixture
    def subject(self):
        from transformers import Trainer

        module = sys.modules["transformers.trainer"]

        def use():
            with tempfile.TemporaryDirectory() as directory:
                trained = trainer(directory)
                trained.train()
            params = {"training.max_steps": 4, "model.class": "BertForSequenceClassification"}
            return Told(numbered(trained.state.log_history), params)

        return FrameworkSubject(
            TransformersFramework, lambda: [module], use, lambda: [Trainer, module], DURATIONS
        )


def test_a_run_has_the_history_of_the_trainer(tracked, tmp_path):
    with tracked(["transformers"]) as told:
        trained = trainer(tmp_path)
        trained.train()
    assert told_of(told.run) == kept_by(trained)
    assert {"loss", "learning_rate", "eval_loss", "train_loss"} <= set(told.run.metrics)


def test_tokens_stay_out_of_the_arguments(tracked, tmp_path):
    with tracked(["transformers"]) as told:
        trainer(tmp_path, hub_token=TOKEN, max_steps=1, eval_strategy="no").train()
    assert told.run.params["training.learning_rate"] == 5e-05
    assert told.run.params["training.per_device_train_batch_size"] == 4
    assert TOKEN not in str(told.run.params)


def test_what_it_reports_to_doubles_nothing(tracked, tmp_path, monkeypatch):
    """Its callback for TensorBoard calls a SummaryWriter, its optimizer is PyTorch's."""
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    with tracked(["transformers", "tensorboard", "torch"]) as told:
        trained = trainer(tmp_path, report_to=["tensorboard"])
        trained.train()
    assert list((tmp_path / "tb").rglob("events.out.*"))
    assert told_of(told.run) == kept_by(trained)


def test_an_evaluation_alone_is_told(tracked, tmp_path):
    with tracked(["transformers"]) as told:
        found = trainer(tmp_path).evaluate()
    assert told.series("eval_loss") == (1, 0, found["eval_loss"])


def test_a_trainer_of_ones_own_that_logs_more_is_told_whole(tracked, tmp_path):
    """`log` overridden, as many do: what reaches the history is what is told."""
    from transformers import Trainer

    class Mine(Trainer):
        def log(self, logs, *args, **kwargs):
            super().log({**logs, "mine": 1.5}, *args, **kwargs)

    with tracked(["transformers"]) as told:
        made = trainer(tmp_path)
        mine = Mine(made.model, made.args, train_dataset=rows(), eval_dataset=rows())
        mine.train()
    assert told_of(told.run) == kept_by(mine)
    assert told.series("mine")[2] == 1.5
