"""The records manager as a process of its own, killed and orphaned."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from steelyard.builtin.service.records_manager import CLOSED_EVENT
from steelyard.kernel.errors import JournalError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal import JournalReader, JournalWriter, journal_directory

CONTROLLER = textwrap.dedent("""
    import asyncio
    import sys
    from pathlib import Path
    from steelyard.domain.bench.messages import ConfigureRun, RecordBatch
    from steelyard.domain.bench.records import empty_batch
    from steelyard.kernel.errors import SteelyardError
    from steelyard.runtime.roles import RoleSpec
    from steelyard.runtime.supervisor import Supervisor

    run_dir = Path(sys.argv[1])
    target = "steelyard.builtin.service.records_manager:RecordsManager"
    role = RoleSpec(service_type="records_manager", target=target)
    deaths = []
    supervisor = Supervisor(
        "process", [role], run_dir=run_dir, on_death=deaths.append
    )

    async def main():
        await supervisor.start()
        await supervisor.configure_all(
            ConfigureRun({"run_id": "r", "artifact_dir": str(run_dir)})
        )
        await supervisor.start_all()
        print([service.pid for service in supervisor.services.values()][0], flush=True)
        rows = empty_batch(50).tobytes()
        number = 0
        while not deaths and number < int(sys.argv[2]):
            batch = RecordBatch(
                worker=0, epoch=0, batch_seq=number, rows=50, data=rows, messages={}
            )
            try:
                await supervisor.bus.command("records_manager", batch, timeout_s=60)
            except SteelyardError:
                break
            number += 1
            # Written after the answer: a promise that the batch is in the journal.
            print(number, flush=True)
        await supervisor.stop()

    supervisor.fork()
    asyncio.run(main())
""")


@pytest.fixture
def controller(tmp_path):
    started: list[subprocess.Popen] = []

    def start(batches: int) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, str(tmp_path), str(batches)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def stored(run_dir: Path) -> set[int]:
    reader = JournalReader(journal_directory(run_dir))
    return {batch.batch_seq for batch in reader.record_batches()}


def wait_for_the_writer_to_let_go(run_dir: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            JournalWriter(
                journal_directory(run_dir), "records", run_id="r", clock=SystemClock()
            ).close()
        except JournalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def test_a_stop_leaves_everything_and_the_totals(controller, tmp_path):
    process = controller(20)
    lines = process.communicate(timeout=100)[0].split()
    assert process.returncode == 0
    assert lines[-1] == "20"
    assert stored(tmp_path) == set(range(20))
    last = list(JournalReader(journal_directory(tmp_path)).events())[-1]
    assert (last.type, last.payload["rows"]) == (CLOSED_EVENT, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["records manager", "controller"])
def test_what_was_answered_survives_a_kill(controller, tmp_path, victim):
    """Of the role itself, and of the controller that leaves it an orphan."""
    process = controller(10**9)
    pid = int(process.stdout.readline())
    for _ in range(10):
        process.stdout.readline()
    os.kill(pid if victim == "records manager" else process.pid, signal.SIGKILL)
    lines = process.communicate(timeout=100)[0].split()
    wait_for_the_writer_to_let_go(tmp_path)
    promised = max([10, *map(int, lines)])
    assert set(range(promised)) <= stored(tmp_path)
    assert JournalReader(journal_directory(tmp_path)).verify() == []
