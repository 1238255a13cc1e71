"""Our datasets keep the contract that a stranger's must keep."""

from pathlib import Path

import pytest

from steelyard.builtin.dataset.single_turn import SingleTurnDataset
from steelyard.builtin.dataset.synthetic import SyntheticDataset
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.testing.contracts.dataset import DatasetContract, DatasetSubject


class TestSyntheticDataset(DatasetContract):
    """Prompts made from the seed."""

    @pytest.fixture
    def subject(self) -> DatasetSubject:
        return DatasetSubject(SyntheticDataset)


class TestSingleTurnDataset(DatasetContract):
    """Prompts read from a file."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> DatasetSubject:
        path = tmp_path / "prompts.jsonl"
        path.write_text("".join(f'{{"text": "prompt number {n}"}}\n' for n in range(30)))
        plan = DatasetPlan(type="single_turn", path=str(path), entries=20)
        return DatasetSubject(SingleTurnDataset, plan, entries=20, reads_file=True)
