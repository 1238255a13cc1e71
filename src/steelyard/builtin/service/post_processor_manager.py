"""The role that turns the journal into reports, when the run is over."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from steelyard.domain.bench.messages import BuildReport, ReportBuilt, ReportProgress, StopReport
from steelyard.runtime.service import Service, ServiceContext, on_message, on_stop


class PostProcessorManager(Service):
    """Answers `BuildReport` with `ReportBuilt`; until then it does and imports nothing.

    A report reads the whole journal, so it is made on a thread of its own: heartbeats go on. A
    stop, or `StopReport`, ends it as soon as it reads on, and it leaves no temporary files.
    """

    service_type: ClassVar[str] = "post_processor_manager"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        self._given_up = threading.Event()

    @on_message(BuildReport)
    async def make_report(self, message: BuildReport) -> ReportBuilt | None:
        """Write all that the plan asks for; None when the report was given up.

        Raises:
            JournalError: there is no run to read.
        """
        loop = asyncio.get_running_loop()

        def tell(doing: str) -> None:
            loop.call_soon_threadsafe(self._tell, doing)

        return await asyncio.to_thread(self._build, Path(message.artifact_dir), tell)

    def _build(self, directory: Path, tell: Callable[[str], None]) -> ReportBuilt | None:
        # What reads journals and makes reports is of no use before: idle roles do without it.
        from steelyard.runtime.report import build_report

        try:
            return build_report(directory, self.context.host, check=self._check, tell=tell)
        except KeyboardInterrupt:
            return None

    def _check(self) -> None:
        if self._given_up.is_set():
            raise KeyboardInterrupt

    def _tell(self, doing: str) -> None:
        if self.context.controller_id:
            self.bus.post(self.context.controller_id, ReportProgress(doing))

    @on_message(StopReport)
    async def give_up(self, _: StopReport) -> None:
        """End a report that is being made."""
        self._given_up.set()

    @on_stop
    async def end(self) -> None:
        """End a report that is being made: nobody is there to hear of it."""
        self._given_up.set()
