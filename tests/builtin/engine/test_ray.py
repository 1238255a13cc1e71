"""Which nodes of a Ray cluster are workers; the rest of the engine is tried on a real one."""

import pytest

from steelyard.builtin.engine.ray import GROUP_LABEL, RayEngine
from steelyard.runtime.fleet.ray_cluster import WORKER_LABEL

NODE = "0123456789abcdef"
JOINED, GROUPED, PLAIN = {WORKER_LABEL: "n1"}, {GROUP_LABEL: "workers"}, {"ray.io/node-id": NODE}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("n1", "", "")),
        ({"group": "workers"}, ("n1", "ray-0123456789ab", "")),
        ({"group": "headgroup"}, ("n1", "", "")),
        ({"every_node": True}, ("n1", "ray-0123456789ab", "ray-0123456789ab")),
    ],
)
def test_a_node_is_a_worker_by_its_label_its_group_or_the_users_word(tmp_path, options, names):
    engine = RayEngine(directory=str(tmp_path), **options)
    assert tuple(engine.name_of(NODE, labels) for labels in (JOINED, GROUPED, PLAIN)) == names
