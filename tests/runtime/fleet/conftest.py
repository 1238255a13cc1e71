"""One suite for all databases that a ledger can be in."""

import pytest
from ledger_rig import DATABASES, leading, new_place


@pytest.fixture(params=DATABASES)
def place(request, tmp_path):
    return new_place(request.param, tmp_path)


@pytest.fixture
def ledger(place):
    made = leading(place)
    yield made
    made.close()
