"""Schedulers and hooks of plugins come back in time, on any machine."""

import pytest

from steelyard.runtime.fleet import guarded_scheduler, task_by_task


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(task_by_task, "ASK_WITHIN_S", 60.0)
    monkeypatch.setattr(task_by_task, "PASS_TIMEOUT_S", 90.0)
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 90.0)
