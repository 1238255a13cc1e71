"""The dataset manager: makes or reads the prompts and puts them where workers read them."""

import asyncio
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import ClassVar

import msgspec

from steelyard.domain.bench.chat_isl import with_template
from steelyard.domain.bench.conversation import Conversation, scaled
from steelyard.domain.bench.join_messages import CHUNK_BYTES_MAX, DatasetBytes, ReadDataset
from steelyard.domain.bench.messages import ConfigureRun, DatasetProgress
from steelyard.domain.bench.plan import SCHEDULE_FILE, DatasetPlan, Plan
from steelyard.domain.bench.ports import ChatTokenizer, Tokenizer
from steelyard.domain.bench.trace_times import TraceTimes
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.dataset_mirror import read_piece
from steelyard.runtime.dataset_store import DatasetStoreWriter, reorder
from steelyard.runtime.files import write_atomic
from steelyard.runtime.service import (
    Service,
    ServiceContext,
    on_configure,
    on_message,
    on_start,
)

FIRST_ENTRIES = 32
"""The first progress comes after so many entries: enough to begin with."""

_SLICE_NS = NS_PER_MS // 5
_ENTRIES_A_SLICE = 32
_PROGRESS_NS = 50 * NS_PER_MS


class DatasetManager(Service):
    """Fills the store from the moment it is configured, in slices that yield to the loop.

    Every role hears `DatasetProgress`: after the first entries, then some twenty times a second,
    and at the end. What goes wrong is said in its `error`. Where a phase has a fixed schedule, it
    is written beside the store, and there is nothing to hear before the end: only then is known
    which entry comes first.
    """

    service_type: ClassVar[str] = "dataset_manager"

    def __init__(self, context: ServiceContext) -> None:
        """Wait for the plan."""
        super().__init__(context)
        self._latest: DatasetProgress | None = None
        self._directory: Path | None = None

    @on_configure
    async def begin(self, message: ConfigureRun) -> None:
        """Start filling; the task goes on while other roles are configured."""
        plan = msgspec.convert(message.plan, Plan)
        self._filling = self.spawn(self._fill(plan), name="fill the dataset")

    @on_message(ReadDataset)
    async def read_piece(self, message: ReadDataset) -> DatasetBytes:
        """Give a worker on another machine the bytes that one here would read itself.

        Raises:
            FileError: it asks for something else.
        """
        if self._directory is None:
            return DatasetBytes(b"")
        return DatasetBytes(
            read_piece(self._directory, message.name, message.offset, CHUNK_BYTES_MAX)
        )

    @on_start
    async def repeat_progress(self) -> None:
        """Say again how far it is, for roles that listen only now."""
        if self._latest is not None:
            await self.bus.publish(self._latest)

    async def _fill(self, plan: Plan) -> None:
        directory = self._directory = Path(plan.artifact_dir) / "dataset"
        try:
            await self._fill_store(plan, directory)
        except SteelyardError as problem:
            await self._publish(
                DatasetProgress(
                    path=str(directory),
                    ready=0,
                    complete=False,
                    error=str(problem),
                    exit_code=problem.exit_code,
                )
            )

    async def _fill_store(self, plan: Plan, directory: Path) -> None:
        host = self.context.host
        given = plan.dataset
        with DatasetStoreWriter(directory) as writer:
            tokenizer = host.create("tokenizer", given.tokenizer, **given.tokenizer_options)
            dataset = host.create("dataset", given.type, given, tokenizer, plan.seed)
            entries = len(dataset) if isinstance(dataset, Sized) else -1
            source = f"dataset {given.type}"
            with host.border.crossing(source, "begin its conversations"):
                conversations = iter(dataset.conversations())
                if self._counts_chat(plan, tokenizer):
                    conversations = (with_template(made, tokenizer) for made in conversations)
            times = TraceTimes(given.schedule) if given.schedule is not None else None
            clock = self.context.clock
            slice_ns = told_ns = clock.mono_ns()
            while (made := self._next(conversations, source)) is not None:
                conversation = self._shaped(made, given, times)
                if conversation is not None:
                    writer.append(conversation)
                now_ns = clock.mono_ns()
                early = writer.entries == FIRST_ENTRIES
                late = now_ns - told_ns > _PROGRESS_NS and writer.entries > FIRST_ENTRIES
                if times is None and (early or late):
                    writer.flush()
                    await self._tell(directory, writer.entries, entries)
                    told_ns = clock.mono_ns()
                if now_ns - slice_ns > _SLICE_NS:
                    await asyncio.sleep(0)
                    slice_ns = clock.mono_ns()
        if not writer.entries:
            raise _nothing(given)
        if times is not None:
            await self._write_schedule(Path(plan.artifact_dir), times)
        await self._tell(directory, writer.entries, writer.entries, complete=True)

    def _shaped(
        self, made: Conversation, plan: DatasetPlan, times: TraceTimes | None
    ) -> Conversation | None:
        """Return a conversation as it is sent; None when it is outside of the schedule."""
        if plan.turn_delay_ratio != 1.0 and len(made.turns) > 1:
            made = scaled(made, plan.turn_delay_ratio)
        if times is None:
            return made
        with self.context.host.border.crossing(f"dataset {plan.type}", "give its times"):
            return times.kept(made)

    async def _write_schedule(self, run: Path, times: TraceTimes) -> None:
        """Write when each entry begins, the entries being put in that order."""
        offsets, order = times.schedule()
        if (order[1:] < order[:-1]).any():
            for entry in reorder(run / "dataset", order.tolist()):
                if entry % _ENTRIES_A_SLICE == 0:
                    await asyncio.sleep(0)
        write_atomic(run / SCHEDULE_FILE, offsets.astype("<i8").tobytes())

    def _counts_chat(self, plan: Plan, tokenizer: Tokenizer) -> bool:
        """Return True when requests are chats and the tokenizer has their template."""
        facts = self.context.host.spec("endpoint", plan.endpoint.type).metadata
        return (
            plan.dataset.chat_template
            and bool(facts.get("sends_messages"))
            and isinstance(tokenizer, ChatTokenizer)
            and tokenizer.has_chat_template
        )

    def _next(self, conversations: Iterator[Conversation], source: str) -> Conversation | None:
        with self.context.host.border.crossing(source, "yield a conversation"):
            return next(conversations, None)

    async def _tell(
        self, directory: Path, ready: int, entries: int, *, complete: bool = False
    ) -> None:
        await self._publish(
            DatasetProgress(path=str(directory), ready=ready, complete=complete, entries=entries)
        )

    async def _publish(self, progress: DatasetProgress) -> None:
        self._latest = progress
        await self.bus.publish(progress)


def _nothing(plan: DatasetPlan) -> UsageError:
    """Return the error to raise for a data set without entries."""
    schedule = plan.schedule
    if schedule is None or (schedule.start_ms is None and schedule.end_ms is None):
        return UsageError(f"The dataset '{plan.type}' has no entries")
    begin, end = schedule.start_ms or 0.0, schedule.end_ms
    return UsageError(
        f"No conversation of {plan.path} begins within the fixed schedule",
        got=f"{begin:.15g} ms" + (" or later" if end is None else f" to {end:.15g} ms"),
        expected="offsets within the trace's timestamps",
        next_step="Change --fixed-schedule-start-offset or --fixed-schedule-end-offset.",
    )
