"""Our metrics, exporters, consoles and uis keep the contracts that a stranger's must keep."""

import pytest

from steelyard.builtin.console.summary import SummaryConsole
from steelyard.builtin.exporter.csv_metrics import CsvMetricsExporter
from steelyard.builtin.exporter.json_summary import JsonSummaryExporter
from steelyard.builtin.exporter.jsonl_records import JsonlRecordsExporter
from steelyard.builtin.exporter.parquet_records import ParquetRecordsExporter
from steelyard.builtin.ui.none import NoUi
from steelyard.builtin.ui.simple import SimpleUi
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.console import ConsoleContract, ConsoleSubject
from steelyard.testing.contracts.exporter import ExporterContract, ExporterSubject
from steelyard.testing.contracts.metric import MetricContract, MetricSubject
from steelyard.testing.contracts.ui import UiContract, UiSubject

HOST = PluginHost.standard()


class TestMetrics(MetricContract):
    @pytest.fixture(params=HOST.names("metric"))
    def subject(self, request):
        return MetricSubject(HOST.load("metric", request.param))


class TestExporters(ExporterContract):
    @pytest.fixture(
        params=[
            JsonSummaryExporter,
            CsvMetricsExporter,
            JsonlRecordsExporter,
            ParquetRecordsExporter,
        ]
    )
    def subject(self, request):
        return ExporterSubject(request.param)


class TestSummaryConsole(ConsoleContract):
    @pytest.fixture
    def subject(self):
        return ConsoleSubject(SummaryConsole)


class TestUis(UiContract):
    @pytest.fixture(params=[SimpleUi, NoUi])
    def subject(self, request):
        return UiSubject(request.param)
