"""A run is told what PyTorch's optimizers are set to, and each change of their learning rates."""

import sys

import pytest
import torch

from steelyard.builtin.framework.torch import OPTIMIZERS_MAX, TorchFramework
from steelyard.testing.contracts.framework import FrameworkContract, FrameworkSubject, Told

torch.set_num_threads(1)


def layer(size=2):
    torch.manual_seed(7)
    return torch.nn.Linear(size, 1)


def train(optimizer, model, steps, scheduler=None):
    """Make steps; return the learning rate of each."""
    rates = []
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).pow(2).mean().backward()
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates


def changes(rates):
    """Return `(step, rate)` where a rate is not that of the step before."""
    return [(i, rate) for i, rate in enumerate(rates) if not i or rate != rates[i - 1]]


class TestTorch(FrameworkContract):
    @pytest.fixture
    def subject(self):
        module = sys.modules["torch.optim.optimizer"]  # PyTorch deletes the attribute

        def use():
            model = layer()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
            rates = [rate for (rate,) in train(optimizer, model, 6, scheduler)]
            params = {"optimizer.name": "SGD", "optimizer.lr": 0.5, "optimizer.momentum": 0.9}
            return Told({"lr": changes(rates)}, {**params, "optimizer.parameters": 3})

        return FrameworkSubject(
            TorchFramework,
            lambda: [module],
            use,
            lambda: [
                module, module.Optimizer, torch.optim.SGD, torch.optim.lr_scheduler.StepLR,
                module._global_optimizer_post_hooks, module._global_optimizer_pre_hooks,
            ],
        )  # fmt: skip


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [
                torch.optim.lr_scheduler.ConstantLR(o, 0.5, 3),
                torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
            ],
            milestones=[3],
        ),
    ],
    ids=["exponential", "one cycle", "sequential"],
)
def test_rates_are_those_of_the_steps_whatever_sets_them(tracked, scheduler):
    with tracked(["torch"]) as told:
        model = layer()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        rates = [rate for (rate,) in train(optimizer, model, 9, scheduler(optimizer))]
    expected = changes(rates)
    assert told.series("lr") == (len(expected), *expected[-1])


def test_a_rate_set_by_hand_is_seen(tracked):
    with tracked(["torch"]) as told:
        model = layer()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.02)
        train(optimizer, model, 3)
        optimizer.param_groups[0]["lr"] = 0.05
        train(optimizer, model, 3)
    assert told.series("lr") == (2, 3, 0.05)
    assert told.run.params["optimizer.weight_decay"] == 0.02
    assert told.run.params["optimizer.betas"] == [0.9, 0.999]


def test_groups_with_rates_of_their_own_are_told_apart(tracked):
    with tracked(["torch"]) as told:
        first, second = layer(), layer(1)
        optimizer = torch.optim.SGD(
            [{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.3}], lr=0.1
        )
        train(optimizer, first, 2)
    assert {name: told.series(name) for name in told.run.metrics} == {
        "lr/0": (1, 0, 0.1),
        "lr/1": (1, 0, 0.3),
    }
    params = told.run.params
    assert (params["optimizer.group0.lr"], params["optimizer.group1.lr"]) == (0.1, 0.3)
    assert params["optimizer.momentum"] == 0


def test_two_optimizers_are_told_apart_and_many_are_bounded(tracked):
    """As those of a generator and its critic; a search over hundreds is no flood."""
    with tracked(["torch"]) as told:
        for number in range(OPTIMIZERS_MAX + 3):
            model = layer()
            train(torch.optim.SGD(model.parameters(), lr=0.1 + number), model, 1)
    assert told.series("lr") == (1, 0, 0.1)
    assert told.series("optimizer2/lr") == (1, 0, 1.1)
    assert len(told.run.metrics) == OPTIMIZERS_MAX


def test_norms_of_gradients_are_there_where_they_are_asked_for(tracked):
    with tracked({"torch": {"gradients_every": 2}}) as told:
        model = layer()
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        norms = []
        for _ in range(3):
            train(optimizer, model, 1)
            norms.append({name: float(p.grad.norm()) for name, p in model.named_parameters()})
    assert told.series("grad_norm/weight") == (2, 2, pytest.approx(norms[2]["weight"]))
    assert told.series("grad_norm/bias") == (2, 2, pytest.approx(norms[2]["bias"]))
    whole = sum(norm**2 for norm in norms[2].values()) ** 0.5
    assert told.series("grad_norm") == (2, 2, pytest.approx(whole))


def test_nothing_is_read_from_a_device(tracked):
    """A rate that is a tensor on a device is not told: reading it would wait for the device."""
    with tracked(["torch"]) as told:
        model = layer()
        optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.5))
        train(optimizer, model, 2)
        optimizer.param_groups[0]["lr"] = torch.tensor(0.25, device="meta")
        optimizer._step_count = 0
        optimizer.param_groups[0]["params"] = []
        optimizer.step()
    assert told.series("lr") == (1, 0, 0.5)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # its compiler's own
def test_a_compiled_step_compiles_as_before(tracked):
    """Into the same graphs, with no hook of ours in them; such a step tells nothing."""
    from torch._dynamo.utils import counters

    seen = []
    for automagic in (False, ["torch"]):
        torch._dynamo.reset()
        counters.clear()
        model = layer()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = torch.compile(lambda optimizer=optimizer: optimizer.step(), backend="eager")
        with tracked(automagic) as told:
            for _ in range(3):
                model(torch.ones(3, 2)).pow(2).mean().backward()
                step()
            stats = dict(counters["stats"])
            optimizer.step()
        breaks = sum(counters["graph_break"].values())
        seen.append((stats, breaks, model.weight.tolist()))
    assert seen[0] == seen[1]
    assert told.series("lr") == (1, 0, 0.1)  # of the one step that was not compiled
