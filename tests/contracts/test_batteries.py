"""Our own batteries keep the contracts that strangers must keep."""

import numpy as np
import pytest
from detailed_runs import detailed_run
from endpoint_samples import SAMPLES

from steelyard.domain.bench.plan import FIXED_SCHEDULE, PhasePlan
from steelyard.runtime.discovery import builtin_manifest
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.arrival import ArrivalContract, ArrivalSubject
from steelyard.testing.contracts.console import ConsoleContract, ConsoleSubject
from steelyard.testing.contracts.endpoint import EndpointContract, EndpointSubject
from steelyard.testing.contracts.exporter import ExporterContract, ExporterSubject
from steelyard.testing.contracts.metric import MetricContract, MetricSubject
from steelyard.testing.contracts.phase_hook import PhaseHookContract, PhaseHookSubject
from steelyard.testing.contracts.ramp import RampContract, RampSubject
from steelyard.testing.contracts.service import ServiceContract, ServiceSubject
from steelyard.testing.contracts.transport import TransportContract, TransportSubject
from steelyard.testing.contracts.ui import UiContract, UiSubject

HOST = PluginHost.standard()


def names(kind):
    return [s.name for s in builtin_manifest().specs if s.kind == kind]


@pytest.mark.parametrize("name", names("endpoint"))
class TestEndpoints(EndpointContract):
    @pytest.fixture
    def subject(self, name):
        return EndpointSubject(HOST.load("endpoint", name), **SAMPLES[name])


@pytest.mark.parametrize("name", names("arrival"))
class TestArrivals(ArrivalContract):
    @pytest.fixture
    def subject(self, name, tmp_path):
        plan = PhasePlan(name="profiling", request_rate=50.0, smoothness=2.0)
        if name == FIXED_SCHEDULE:
            path = tmp_path / "schedule"
            (np.arange(12_000, dtype="<i8") ** 2 * 1_000).tofile(path)
            plan = PhasePlan(name="profiling", arrival=name, options={"path": str(path)})
        return ArrivalSubject(HOST.load("arrival", name), plan)


@pytest.mark.parametrize("duration_s", [0.2, 30.0, 3_600.0])
@pytest.mark.parametrize("name", names("ramp"))
class TestRamps(RampContract):
    @pytest.fixture
    def subject(self, name, duration_s):
        return RampSubject(HOST.load("ramp", name), duration_s)


@pytest.mark.parametrize("name", names("exporter"))
class TestExporters(ExporterContract):
    @pytest.fixture
    def subject(self, name):
        run = {"run": detailed_run} if name in {"chunks", "raw"} else {}
        return ExporterSubject(HOST.load("exporter", name), **run)


class TestSummaryConsole(ConsoleContract):
    @pytest.fixture
    def subject(self):
        return ConsoleSubject(HOST.load("console", "summary"))


@pytest.mark.parametrize("name", names("ui"))
class TestUis(UiContract):
    @pytest.fixture
    def subject(self, name):
        return UiSubject(HOST.load("ui", name))


@pytest.mark.parametrize("name", names("metric"))
class TestMetrics(MetricContract):
    @pytest.fixture
    def subject(self, name):
        return MetricSubject(HOST.load("metric", name))


@pytest.mark.parametrize("name", names("phase_hook"))
class TestPhaseHooks(PhaseHookContract):
    @pytest.fixture
    def subject(self, name):
        return PhaseHookSubject(HOST.load("phase_hook", name))


@pytest.mark.parametrize("name", names("service"))
class TestServices(ServiceContract):
    @pytest.fixture
    def subject(self, name):
        return ServiceSubject(HOST.load("service", name), name)


@pytest.mark.parametrize("name", names("transport"))
class TestTransports(TransportContract):
    @pytest.fixture
    def subject(self, name):
        return TransportSubject(HOST.load("transport", name))
