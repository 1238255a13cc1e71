"""TensorBoard keeps what it was given: read back by TensorBoard's own accumulator of events."""

import math
import resource

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.util import tensor_util

from steelyard.builtin.backend import tensorboard
from steelyard.domain.track.events import Metric, Params, RunEnded
from steelyard.kernel.errors import FileError
from steelyard.runtime.discovery import builtin_manifest
from steelyard.testing.contracts.backend import BackendContract, BackendSubject, ReadBack, facts

STATUSES = {
    api_pb2.STATUS_SUCCESS: "finished",
    api_pb2.STATUS_FAILURE: "failed",
    api_pb2.STATUS_UNKNOWN: "unknown",
}
VERIFIED = frozenset({"metrics", "params", "tags", "status"})


def accumulated(directory):
    runs = {file.parent for file in directory.rglob("*tfevents*")}
    (run, *others) = sorted(runs)
    read = EventAccumulator(str(run), size_guidance=dict.fromkeys(("scalars", "tensors"), 0))
    return read.Reload(), 1 + len(others)


def read_back(directory):
    read, runs = accumulated(directory)
    kept = ReadBack(runs=runs)
    for tag in read.Tags()["scalars"]:
        kept.metrics[tag] = [(event.step, event.value) for event in read.Scalars(tag)]
    for tag in read.Tags()["tensors"]:
        values = [tensor_util.make_ndarray(e.tensor_proto) for e in read.Tensors(tag)]
        plugin = read.SummaryMetadata(tag).plugin_data
        if tag == metadata.SESSION_START_INFO_TAG:
            info = metadata.parse_session_start_info_plugin_data(plugin.content)
            kept.params = {k: getattr(v, v.WhichOneof("kind")) for k, v in info.hparams.items()}
        elif tag == metadata.SESSION_END_INFO_TAG:
            end = metadata.parse_session_end_info_plugin_data(plugin.content)
            kept.status = STATUSES[end.status]
        elif plugin.plugin_name == "text":
            kept.tags[tag.removeprefix("tags/")] = values[-1].item().decode()
        else:
            steps = [event.step for event in read.Tensors(tag)]
            kept.metrics[tag] = [(s, v.item()) for s, v in zip(steps, values, strict=True)]
    return kept


def same_param(kept, given):
    return kept == given or (given is None and kept == "null")


class TestTensorboard(BackendContract):
    @pytest.fixture(params=tensorboard.SCALARS)
    def subject(self, request):
        cls = tensorboard.TensorboardBackend
        return BackendSubject(
            cls, lambda directory: cls(str(directory), request.param), read_back,
            verified=VERIFIED, same_param=same_param, killed_as="unknown",
        )  # fmt: skip


def test_the_manifest_claims_what_is_read_back_here():
    (told,) = [
        s for s in builtin_manifest().specs if (s.kind, s.name) == ("backend", "tensorboard")
    ]
    assert told.metadata["verified"] == ["scalar", "parameter", "tag", "status"]


def metric(value, step=0):
    return Metric(name="m", value=value, step=step, wall_ns=1_780_000_000_500_000_000 + step)


@pytest.fixture
def opened(tmp_path):
    backend = tensorboard.TensorboardBackend(str(tmp_path))
    reference = backend.open(facts())
    yield backend, reference
    backend.close(None)


def test_a_value_keeps_the_time_at_which_it_was_logged(opened, tmp_path):
    backend, _ = opened
    backend.log([metric(1.5)])
    read, _ = accumulated(tmp_path)
    assert read.Scalars("m")[0].wall_time == pytest.approx(1_780_000_000.5, abs=1e-6)


def test_what_single_precision_can_not_hold_is_refused_by_name(opened, tmp_path):
    backend, _ = opened
    delivery = backend.log([metric(1.0), metric(-1e300, 1), metric(math.inf, 2)])
    assert (delivery.taken, list(delivery.refused)) == (3, [1])
    assert "'m': too large" in delivery.refused[1]
    assert read_back(tmp_path).metrics == {"m": [(0, 1.0), (2, math.inf)]}


def test_double_precision_loses_nothing(tmp_path):
    backend = tensorboard.TensorboardBackend(str(tmp_path), "double")
    backend.open(facts())
    values = [1 / 3, 1e300, 5e-324, 2.0**53 + 2]
    backend.log([metric(value, step) for step, value in enumerate(values)])
    backend.close(None)
    assert [value for _, value in read_back(tmp_path).metrics["m"]] == values


def test_a_record_that_a_killed_mirror_left_half_is_cut_and_all_before_stays(opened, tmp_path):
    backend, reference = opened
    backend.log([metric(1.0)])
    backend.close(None)
    (file,) = tmp_path.rglob("*tfevents*.0")
    whole = file.read_bytes()
    file.write_bytes(whole + whole[-30:-7])
    again = tensorboard.TensorboardBackend("elsewhere")
    again.open(facts(reference))
    again.log([metric(2.0, 1)])
    again.close(None)
    assert read_back(tmp_path).metrics == {"m": [(0, 1.0), (1, 2.0)]}


def test_a_batch_that_is_sent_again_after_a_kill_is_there_once(opened, tmp_path):
    backend, reference = opened
    batch = [metric(float(step), step) for step in range(100)]
    backend.log(batch)  # and then it is killed, with the batch not noted as delivered
    again = tensorboard.TensorboardBackend()
    again.open(facts(reference))
    assert again.log(batch).taken == 100
    again.log([metric(99.0, 99)])
    again.close(None)
    assert [step for step, _ in read_back(tmp_path).metrics["m"]] == [*range(100), 99]


def test_a_batch_that_the_disk_cuts_off_is_not_there_by_half(opened, tmp_path):
    backend, _ = opened
    batch = [metric(float(step), step) for step in range(100)]
    backend.log(batch[:10])
    (file,) = tmp_path.rglob("*tfevents*.0")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 700, hard))
    try:
        with pytest.raises((FileError, OSError)):
            backend.log(batch[10:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    backend.log(batch[10:])
    assert [step for step, _ in read_back(tmp_path).metrics["m"]] == list(range(100))


def test_parameters_of_an_earlier_process_stay(opened, tmp_path):
    backend, reference = opened
    backend.log([Params(values={"a": 1, "big": 2**60, "list": [1, 2]}, wall_ns=0)])
    backend.close(None)
    again = tensorboard.TensorboardBackend()
    again.open(facts(reference))
    again.log([Params(values={"b": False}, wall_ns=0)])
    again.close(RunEnded(status="finished"))
    kept = read_back(tmp_path)
    assert kept.params == {"a": 1, "big": str(2**60), "list": "[1, 2]", "b": False}
    assert kept.status == "finished"
