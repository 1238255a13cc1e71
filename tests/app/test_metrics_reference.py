"""The page of metrics says what the code says."""

from steelyard.app.metrics_reference import metrics_page
from steelyard.runtime.plugin_host import PluginHost

HOST = PluginHost.standard()


def test_every_metric_has_one_row_with_its_definition():
    page = metrics_page(HOST)
    for spec in HOST.specs("metric"):
        metric = HOST.create("metric", spec.name)
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{metric.tag}` |")]
        better = "larger" if metric.larger_is_better else "smaller"
        assert f"| {metric.unit} | {better} | {metric.definition} |" in row.replace("\\|", "|")


def test_the_page_on_disk_is_the_one_the_code_makes(pytestconfig):
    path = pytestconfig.rootpath / "docs" / "reference" / "metrics.md"
    assert path.read_text(encoding="utf-8") == metrics_page(HOST), "write it again: make docs"


def test_each_metric_is_listed_under_its_own_tag():
    """The name in the manifest is the tag: what one reads in a report is what one disables."""
    for spec in HOST.specs("metric"):
        assert HOST.create("metric", spec.name).tag == spec.name


def test_what_is_adjusted_exists():
    tags = {spec.name for spec in HOST.specs("metric")}
    metrics = [HOST.create("metric", spec.name) for spec in HOST.specs("metric")]
    adjusted = [metric.adjusts() for metric in metrics if hasattr(metric, "adjusts")]
    assert len(adjusted) == 4
    assert set(adjusted) <= tags
