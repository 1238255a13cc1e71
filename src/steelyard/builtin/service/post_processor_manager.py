"""The role that turns the journal into reports, when the run is over."""

import asyncio
from pathlib import Path
from typing import ClassVar

from steelyard.domain.bench.messages import BuildReport, ReportBuilt
from steelyard.runtime.service import Service, on_message


class PostProcessorManager(Service):
    """Answers `BuildReport` with `ReportBuilt`; until then it does and imports nothing.

    A report reads the whole journal, so it is made on a thread of its own: heartbeats go on.
    """

    service_type: ClassVar[str] = "post_processor_manager"

    @on_message(BuildReport)
    async def make_report(self, message: BuildReport) -> ReportBuilt:
        """Write all that the plan asks for.

        Raises:
            JournalError: there is no run to read.
        """
        # What reads journals and makes reports is of no use before: idle roles do without it.
        from steelyard.runtime.report import build_report

        return await asyncio.to_thread(build_report, Path(message.artifact_dir), self.context.host)
