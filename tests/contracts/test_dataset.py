"""Our datasets keep the contract that a stranger's must keep."""

from pathlib import Path

import pytest

from steelyard.builtin.dataset.inputs_json import InputsJsonDataset
from steelyard.builtin.dataset.mooncake_trace import MooncakeTraceDataset
from steelyard.builtin.dataset.multi_turn import MultiTurnDataset
from steelyard.builtin.dataset.random_pool import RandomPoolDataset
from steelyard.builtin.dataset.raw_payload import RawPayloadDataset
from steelyard.builtin.dataset.single_turn import SingleTurnDataset
from steelyard.builtin.dataset.synthetic import SyntheticDataset
from steelyard.builtin.dataset.synthetic_rankings import SyntheticRankingsDataset
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Dataset
from steelyard.runtime.discovery import builtin_manifest
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


class TestSyntheticRankingsDataset(DatasetContract):
    """Queries and passages made from the seed."""

    @pytest.fixture
    def subject(self) -> DatasetSubject:
        options = {"passages_mean": 3, "passages_stddev": 2, "passage_tokens_mean": 8}
        plan = DatasetPlan(type="synthetic_rankings", entries=20, options=options)
        return DatasetSubject(SyntheticRankingsDataset, plan)


FILES: dict[type[Dataset], str] = {
    MultiTurnDataset: '{{"session_id": "s{n}", "turns": ["first {n}", {{"text": "then {n}"}}]}}',
    RandomPoolDataset: '{{"text": "prompt number {n}"}}',
    MooncakeTraceDataset: '{{"timestamp": {n}, "input_length": 700, "hash_ids": [1, {n}]}}',
    RawPayloadDataset: '{{"prompt": "prompt number {n}"}}',
}


@pytest.mark.parametrize("cls", FILES, ids=lambda cls: cls.__name__)
class TestDatasetsOfLines(DatasetContract):
    """Datasets that read a file line by line."""

    @pytest.fixture
    def subject(self, cls: type[Dataset], tmp_path: Path) -> DatasetSubject:
        path = tmp_path / "in.jsonl"
        path.write_text("".join(FILES[cls].format(n=n) + "\n" for n in range(30)))
        return DatasetSubject(cls, DatasetPlan(path=str(path), entries=20), reads_file=True)


class TestInputsJsonDataset(DatasetContract):
    """The requests of an earlier run."""

    @pytest.fixture
    def subject(self, tmp_path: Path) -> DatasetSubject:
        path = tmp_path / "inputs.json"
        sessions = ",".join(
            f'{{"session_id": "s{n}", "payloads": [{{"prompt": "{n}"}}]}}' for n in range(30)
        )
        path.write_text(f'{{"data": [{sessions}]}}')
        plan = DatasetPlan(type="inputs_json", path=str(path), entries=20)
        return DatasetSubject(InputsJsonDataset, plan, reads_file=True)


def test_every_dataset_of_ours_is_held_to_the_contract() -> None:
    """A new battery joins the kit or this fails."""
    held = {SyntheticDataset, SingleTurnDataset, SyntheticRankingsDataset, InputsJsonDataset}
    ours = {s.target.partition(":")[2] for s in builtin_manifest().specs if s.kind == "dataset"}
    assert {cls.__name__ for cls in held | set(FILES)} == ours
