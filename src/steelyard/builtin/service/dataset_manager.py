"""The dataset manager: makes or reads the prompts and puts them where workers read them."""

import asyncio
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import ClassVar

import msgspec

from steelyard.domain.bench.chat_isl import with_template
from steelyard.domain.bench.conversation import Conversation
from steelyard.domain.bench.messages import ConfigureRun, DatasetProgress
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import ChatTokenizer, Tokenizer
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.dataset_store import DatasetStoreWriter
from steelyard.runtime.service import Service, ServiceContext, on_configure, on_start

FIRST_ENTRIES = 32
"""The first progress comes after so many entries: enough to begin with."""

_SLICE_NS = NS_PER_MS // 5
_PROGRESS_NS = 50 * NS_PER_MS


class DatasetManager(Service):
    """Fills the store from the moment it is configured, in slices that yield to the loop.

    Every role hears `DatasetProgress`: after the first entries, then some twenty times a second,
    and at the end. What goes wrong is said in its `error`.
    """

    service_type: ClassVar[str] = "dataset_manager"

    def __init__(self, context: ServiceContext) -> None:
        """Wait for the plan."""
        super().__init__(context)
        self._latest: DatasetProgress | None = None

    @on_configure
    async def begin(self, message: ConfigureRun) -> None:
        """Start filling; the task goes on while other roles are configured."""
        plan = msgspec.convert(message.plan, Plan)
        self._filling = self.spawn(self._fill(plan), name="fill the dataset")

    @on_start
    async def repeat_progress(self) -> None:
        """Say again how far it is, for roles that listen only now."""
        if self._latest is not None:
            await self.bus.publish(self._latest)

    async def _fill(self, plan: Plan) -> None:
        directory = Path(plan.artifact_dir) / "dataset"
        try:
            await self._fill_store(plan, directory)
        except SteelyardError as problem:
            await self._publish(
                DatasetProgress(path=str(directory), ready=0, complete=False, error=str(problem))
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
            clock = self.context.clock
            slice_ns = told_ns = clock.mono_ns()
            while (conversation := self._next(conversations, source)) is not None:
                writer.append(conversation)
                now_ns = clock.mono_ns()
                early = writer.entries == FIRST_ENTRIES
                if early or (now_ns - told_ns > _PROGRESS_NS and writer.entries > FIRST_ENTRIES):
                    writer.flush()
                    await self._tell(directory, writer.entries, entries)
                    told_ns = clock.mono_ns()
                if now_ns - slice_ns > _SLICE_NS:
                    await asyncio.sleep(0)
                    slice_ns = clock.mono_ns()
        if not writer.entries:
            raise UsageError(f"The dataset '{given.type}' has no entries")
        await self._tell(directory, writer.entries, writer.entries, complete=True)

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
