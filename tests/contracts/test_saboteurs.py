"""Each kit accepts what conforms and rejects every saboteur, by the test that is meant to."""

import importlib
import inspect

import pytest

from steelyard.plugins.kinds import PORTS
from steelyard.testing.contracts.kit import Contract, rejections

SABOTEURS_MIN = 3


def kit_of(kind):
    module = importlib.import_module(f"steelyard.testing.contracts.{kind}")
    (kit,) = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Contract) and value is not Contract
    ]
    return kit


def planted(kind):
    return importlib.import_module(f"steelyard.testing.contracts.saboteurs.{kind}")


def honest_of(kind):
    honest = planted(kind).HONEST
    return honest if isinstance(honest, list) else [honest]


HONEST = [(kind, subject) for kind in PORTS for subject in honest_of(kind)]
SABOTEURS = [(kind, *pair) for kind in PORTS for pair in planted(kind).SABOTEURS]


@pytest.mark.parametrize(
    ("kind", "subject"), HONEST, ids=[f"{k}-{s.cls.__name__}" for k, s in HONEST]
)
def test_a_kit_accepts_what_conforms(kind, subject):
    assert rejections(kit_of(kind), subject) == {}


@pytest.mark.parametrize(
    ("kind", "test", "subject"),
    SABOTEURS,
    ids=[f"{k}-{s.cls.__name__}-{t}" for k, t, s in SABOTEURS],
)
def test_a_kit_rejects_its_saboteurs(kind, test, subject):
    """By the very test that claims to notice the planted fault."""
    assert test in rejections(kit_of(kind), subject, test)


@pytest.mark.parametrize("kind", PORTS)
def test_every_kind_with_a_port_has_a_kit_with_three_saboteurs(kind):
    assert kit_of(kind).kind == kind
    classes = {subject.cls for _, subject in planted(kind).SABOTEURS}
    assert len(classes) >= SABOTEURS_MIN


def test_a_kit_without_a_subject_says_what_to_write(pytester):
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile("""
        from steelyard.testing.contracts.arrival import ArrivalContract

        class TestMine(ArrivalContract):
            pass
    """)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*TestMine does not say what it tests*"])
