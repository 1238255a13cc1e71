"""GPUs are given to one attempt at a time, and a machine is shared without remainder."""

from steelyard.domain.fleet.gpus import Device, choose, share, variables
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements

SMALL = Device(gpu=Gpu(model="L4", memory_gb=24), name="0", variable="CUDA_VISIBLE_DEVICES")
LARGE = Device(gpu=Gpu(model="H200", memory_gb=141), name="1", variable="CUDA_VISIBLE_DEVICES")
AMD = Device(gpu=Gpu(model="MI300X", memory_gb=192), name="a", variable="ROCR_VISIBLE_DEVICES")
ALL = (LARGE, SMALL, AMD)


def test_the_smallest_that_fits_is_given():
    assert choose(Requirements(gpus=1), ALL, ()) == (SMALL,)
    assert choose(Requirements(gpus=1, gpu_memory_gb=80), ALL, ()) == (LARGE,)
    assert choose(Requirements(gpus=1, gpu_model="mi*"), ALL, ()) == (AMD,)


def test_what_is_taken_is_not_given_again():
    assert choose(Requirements(gpus=1), ALL, ["0"]) == (LARGE,)
    assert choose(Requirements(gpus=3), ALL, ["0"]) is None
    assert choose(Requirements(), ALL, ["0", "1", "a"]) == ()


def test_a_program_is_shown_its_gpus_and_no_other():
    assert variables((LARGE,), ALL) == {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": ""}
    assert variables((), ()) == {}


def test_workers_of_one_machine_share_all_of_it():
    has = Capabilities(
        cpu_cores=8, memory_gb=32, disk_gb=90, gpus=tuple(d.gpu for d in ALL), power_w=600
    )
    parts = [share(has, place, 2) for place in range(2)]
    for name in ("cpu_cores", "memory_gb", "disk_gb", "power_w"):
        assert sum(getattr(part, name) for part in parts) == getattr(has, name)
    assert [len(part.gpus) for part in parts] == [2, 1]
    assert parts[0].gpus + parts[1].gpus == (LARGE.gpu, AMD.gpu, SMALL.gpu)
