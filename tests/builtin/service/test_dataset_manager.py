"""The dataset manager: entries are readable early, all at the end, and trouble is said."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from steelyard.builtin.service.dataset_manager import FIRST_ENTRIES, DatasetManager
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.join_messages import CHUNK_BYTES_MAX, ReadDataset
from steelyard.domain.bench.messages import ConfigureRun, DatasetProgress
from steelyard.domain.bench.plan import (
    SCHEDULE_FILE,
    DatasetPlan,
    EndpointPlan,
    PhasePlan,
    Plan,
    SchedulePlan,
)
from steelyard.runtime.bus import CommandFailedError, InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.dataset_store import DATA_NAME, DatasetStoreReader
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.service import ServiceContext

pytestmark = pytest.mark.real_time


class BrokenDataset:
    """Yields forty conversations, then trips."""

    def __init__(self, plan: DatasetPlan, tokenizer: Any, seed: int) -> None:
        del plan, tokenizer, seed

    def conversations(self) -> Iterator[Conversation]:
        for number in range(FIRST_ENTRIES + 8):
            yield Conversation(id=str(number), turns=(Turn(text="x"),))
        message = "the tape tore"
        raise ValueError(message)


class TemplateTokenizer:
    """Counts words, and in chats two more for each message."""

    name = "with_template"
    has_chat_template = True

    def __init__(self) -> None:
        """There is nothing to load."""

    def count(self, text: str) -> int:
        return len(text.split())

    def text_of(self, tokens: int, rng: Any) -> str:
        del rng
        return " ".join(["word"] * tokens)

    def count_chat(self, messages: Any, tools: Any) -> int:
        del tools
        return sum(2 + self.count(message["content"]) for message in messages)


async def progress_of(
    directory: Path, endpoint: str = "chat", **dataset: Any
) -> list[DatasetProgress]:
    """Configure a manager and return all it says, up to the end or an error."""
    host = PluginHost.standard()
    host.register("dataset", "broken", BrokenDataset)
    host.register("tokenizer", "with_template", TemplateTokenizer)
    hub = InlineHub()
    listener = hub.connect("listener", "worker")
    said: list[DatasetProgress] = []
    done = asyncio.Event()

    async def listen(progress: DatasetProgress) -> None:
        said.append(progress)
        if progress.complete or progress.error:
            done.set()

    listener.subscribe(DatasetProgress, listen)
    manager = DatasetManager(
        ServiceContext(
            service_id="dataset_manager_1",
            bus=hub.connect("dataset_manager_1", "dataset_manager"),
            clock=SystemClock(),
            given_host=host,
        )
    )
    plan = Plan(
        run_id="r",
        models=("m",),
        endpoint=EndpointPlan(type=endpoint),
        phases=(PhasePlan(name="profiling"),),
        artifact_dir=str(directory),
        dataset=DatasetPlan(**dataset),
    )
    await manager.initialize()
    await manager.run()
    await manager.configure(ConfigureRun(msgspec.to_builtins(plan)))
    async with asyncio.timeout(100):
        await done.wait()
    await manager.stop()
    await manager.cleanup()
    await hub.close()
    return said


async def test_the_first_entries_are_told_before_all_are_made(tmp_path: Path) -> None:
    """A request can leave while thousands of prompts are still to be made."""
    said = await progress_of(tmp_path, entries=3000, isl_mean=200)
    assert said[0].ready == FIRST_ENTRIES
    assert not said[0].complete
    assert said[0].entries == 3000
    ready = [progress.ready for progress in said]
    assert ready == sorted(ready)
    assert said[-1] == DatasetProgress(
        path=str(tmp_path / "dataset"), ready=3000, complete=True, entries=3000
    )
    reader = DatasetStoreReader(Path(said[-1].path))
    assert reader.ready(3000)
    assert reader.read(2999).id == "synthetic-2999"
    assert reader.read(2999).turns[0].input_tokens == 200
    reader.close()


async def test_the_loop_is_not_held_while_prompts_are_made(tmp_path: Path) -> None:
    """Between slices others run: a ticker beside it hardly stalls."""
    gaps: list[float] = []

    async def tick() -> None:
        # CPU time, not wall time: another process on this core is not our doing.
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    await progress_of(tmp_path, entries=2000, isl_mean=50)
    ticker.cancel()
    gaps.sort()
    # A slice is 0.2 ms and one prompt 0.05 ms; the bound leaves room for a slow machine.
    assert len(gaps) > 100
    assert gaps[int(len(gaps) * 0.99)] < 0.005


async def test_a_small_dataset_is_told_once(tmp_path: Path) -> None:
    """Three entries are complete at once."""
    (progress,) = await progress_of(tmp_path, entries=3, isl_mean=5)
    assert (progress.ready, progress.complete, progress.entries) == (3, True, 3)


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({"type": "single_turn", "path": "/nowhere.jsonl"}, "/nowhere.jsonl"),
        ({"type": "no_such"}, "no_such"),
        ({"tokenizer": "no_such"}, "no_such"),
        ({"type": "broken"}, "the tape tore"),
        ({"entries": 0}, "number of entries"),
    ],
)
async def test_trouble_is_said_in_the_progress(
    tmp_path: Path, dataset: dict[str, Any], told: str
) -> None:
    """A user's mistake and a plugin's failure end in `error`, not in a dead service."""
    said = await progress_of(tmp_path, **dataset)
    assert told in said[-1].error
    assert not said[-1].complete


@pytest.mark.parametrize(
    ("endpoint", "chat_template", "counted"),
    [("chat", True, 7), ("chat", False, 5), ("completions", True, 5)],
)
async def test_chat_requests_are_counted_with_their_template(
    tmp_path: Path, endpoint: str, chat_template: bool, counted: int
) -> None:
    """Where the endpoint sends messages, the tokenizer knows the template, and nobody objects."""
    (last,) = (await progress_of(
        tmp_path, endpoint, entries=1, isl_mean=5, tokenizer="with_template",
        chat_template=chat_template,
    ))[-1:]  # fmt: skip
    assert last.complete, last.error
    assert DatasetStoreReader(Path(last.path)).read(0).turns[0].input_tokens == counted


def trace(directory: Path, *times_ms: float) -> str:
    path = directory / "trace.jsonl"
    lines = [f'{{"text": "at {time:g}", "timestamp": {time}}}\n' for time in times_ms]
    path.write_text("".join(lines))
    return str(path)


async def test_the_times_of_a_trace_are_written_beside_its_entries_in_their_order(
    tmp_path: Path,
) -> None:
    """Nothing is told before all is read: the last line may be the first to be sent."""
    times = [50.0, 10.0, 70.0, 20.0, 90.0] * 20
    path = trace(tmp_path, *times)
    schedule = SchedulePlan(start_ms=10.0, end_ms=70.0)
    (progress,) = await progress_of(tmp_path, type="single_turn", path=path, entries=0,
                                    schedule=schedule)  # fmt: skip
    assert (progress.ready, progress.complete) == (80, True), progress.error
    offsets = np.fromfile(tmp_path / SCHEDULE_FILE, "<i8")
    assert offsets.tolist() == sorted(round((t - 10) * 1e6) for t in times if t <= 70)
    reader = DatasetStoreReader(Path(progress.path))
    sent = [reader.read(entry).turns[0].timestamp_ms or 0.0 for entry in range(80)]
    assert sent == sorted(sent)
    reader.close()


async def test_a_schedule_without_any_conversation_is_a_mistake(tmp_path: Path) -> None:
    """It names the offsets, which are what a person can change."""
    (progress,) = await progress_of(
        tmp_path, type="single_turn", path=trace(tmp_path, 5, 6), entries=0,
        schedule=SchedulePlan(start_ms=10.0),
    )  # fmt: skip
    assert "No conversation of" in progress.error
    assert "10 ms or later" in progress.error
    assert not progress.complete


async def test_delays_are_scaled_whatever_data_set_they_are_of(tmp_path: Path) -> None:
    """Those of a file as those that are drawn."""
    (tmp_path / "t.jsonl").write_text('{"turns": ["a", {"text": "b", "delay": 40}]}\n')
    for given in ({"type": "multi_turn", "path": str(tmp_path / "t.jsonl")},
                  {"turns_mean": 2, "turn_delay_mean_ms": 40, "isl_mean": 2}):  # fmt: skip
        said = await progress_of(tmp_path, entries=1, turn_delay_ratio=0.25, **given)
        reader = DatasetStoreReader(Path(said[-1].path))
        assert [turn.delay_ms for turn in reader.read(0).turns] == [0, 10]
        reader.close()


async def test_a_worker_elsewhere_is_given_the_bytes_of_the_store_and_no_others(tmp_path):
    """Piece by piece, by name and offset; before there is a plan there is nothing to give."""
    hub = InlineHub()
    worker = hub.connect("worker_1", "worker")
    manager = DatasetManager(
        ServiceContext(
            service_id="dataset_manager_1",
            bus=hub.connect("dataset_manager_1", "dataset_manager"),
            clock=SystemClock(),
            given_host=PluginHost.standard(),
        )
    )
    await manager.initialize()

    async def read(name, offset=0):
        question = ReadDataset(name=name, offset=offset)
        return (await worker.command("dataset_manager", question, timeout_s=60)).data

    assert await read(DATA_NAME) == b""
    done = asyncio.Event()

    async def listen(progress):
        if progress.complete:
            done.set()

    worker.subscribe(DatasetProgress, listen)
    plan = Plan(
        run_id="r", models=("m",), endpoint=EndpointPlan(),
        phases=(PhasePlan(name="profiling"),), artifact_dir=str(tmp_path),
        dataset=DatasetPlan(entries=400),
    )  # fmt: skip
    await manager.run()
    await manager.configure(ConfigureRun(msgspec.to_builtins(plan)))
    async with asyncio.timeout(100):
        await done.wait()
    whole = (tmp_path / "dataset" / DATA_NAME).read_bytes()
    assert len(whole) > CHUNK_BYTES_MAX
    first = await read(DATA_NAME)
    assert len(first) == CHUNK_BYTES_MAX
    assert first + await read(DATA_NAME, CHUNK_BYTES_MAX) == whole[: 2 * CHUNK_BYTES_MAX]
    assert await read(DATA_NAME, len(whole)) == b""
    with pytest.raises(CommandFailedError, match="Only the files of the data set"):
        await read("../journal/records.journal")
    await manager.stop()
    await manager.cleanup()
    await hub.close()
