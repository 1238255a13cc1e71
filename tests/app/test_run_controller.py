"""What the controller makes of a report that a role gives up."""

import asyncio
import signal
from types import SimpleNamespace

import pytest

from steelyard.app.run_controller import RunController
from steelyard.app.signals import ReportGivenUpError


def controller(tmp_path):
    """Return one whose run is over, and whose report a role was asked for and gave up."""
    made = RunController.__new__(RunController)
    made._plan = SimpleNamespace(artifact_dir=str(tmp_path))
    made._live = SimpleNamespace(doing=lambda _text: None)
    made._interrupts, made._given_up, made.report = 0, asyncio.Event(), None

    async def given_up(*_arguments):
        return None

    made._ask = given_up
    return made


async def test_a_signal_that_a_role_hears_first_gives_the_report_up_all_the_same(tmp_path):
    """As one to the whole process group does: nobody wants the report from this process either."""
    made = controller(tmp_path)
    making = asyncio.ensure_future(made._have_report_built())
    for _ in range(10):  # until the role has answered
        await asyncio.sleep(0)
    made._interrupted(signal.SIGTERM)
    with pytest.raises(ReportGivenUpError, match=r"run is whole"):
        await making


async def test_a_role_that_fails_by_itself_leaves_the_report_to_this_process(tmp_path):
    made = controller(tmp_path)
    await made._have_report_built()
    assert made.report is None
