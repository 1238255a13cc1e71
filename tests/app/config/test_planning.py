"""From a configuration to a plan: what follows from what was asked for."""


def test_a_slice_duration_asks_for_the_files_of_the_slices(plan_of):
    asked = plan_of(model=["m"], concurrency=2, slice_duration=1.5)
    assert asked.slice_s == 1.5
    assert asked.exporters[-1] == "timeslices"
    assert "timeslices" not in plan_of(model=["m"], concurrency=2).exporters


def test_an_exporter_that_was_named_writes_once(plan_of):
    named = plan_of(
        model=["m"], concurrency=2, slice_duration=1.5, exporters=["timeslices", "json"]
    )
    assert named.exporters == ("timeslices", "json")
