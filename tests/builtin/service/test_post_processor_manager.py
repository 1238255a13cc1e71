"""The role that makes reports."""

import subprocess
import sys

import pytest

from steelyard.builtin.service.post_processor_manager import PostProcessorManager
from steelyard.domain.bench.messages import BuildReport, ConfigureRun
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.service import ServiceContext
from steelyard.testing.journals import answered, fake_plan, record_batch, write_journal

pytestmark = pytest.mark.real_time


@pytest.fixture
async def controller():
    hub = InlineHub()
    bus = hub.connect("main", "controller")
    name = "post_processor_manager"
    service = PostProcessorManager(
        ServiceContext(service_id=name, bus=hub.connect(name, name), clock=SystemClock())
    )
    await service.initialize()
    await service.run()
    await service.configure(ConfigureRun({}))
    await service.start()
    yield bus
    await service.stop()
    await service.cleanup()
    await hub.close()


async def test_it_answers_with_the_files_it_wrote(controller, tmp_path):
    write_journal(
        tmp_path, fake_plan(tmp_path), [record_batch([answered(0, start_ms=0, ttft_ms=5)])]
    )
    command = BuildReport(str(tmp_path))
    built = await controller.command("post_processor_manager", command, timeout_s=100)
    assert set(built.files) == {"json", "csv", "jsonl", "parquet"}
    assert built.summary["metrics"]["time_to_first_token"]["avg"] == 5


async def test_a_report_that_can_not_be_made_fails_the_command_only(controller, tmp_path):
    for _ in range(2):
        with pytest.raises(SteelyardError, match="it has no journal/"):
            await controller.command(
                "post_processor_manager", BuildReport(str(tmp_path)), timeout_s=100
            )


def test_a_role_that_waits_has_not_imported_the_database():
    code = (
        "import sys, steelyard.builtin.service.post_processor_manager; "
        "print([m for m in ('duckdb', 'rich') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
