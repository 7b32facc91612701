"""What a job takes of its GPUs, by a stand-in for NVML."""

import sys
import time

import pytest
from tests.unit.nvml import Gpu, NVMLError, library

from serpens import usage
from serpens.artefacts import GpuUsage
from serpens.usage import Meter, together

UNSUPPORTED = NVMLError("Not Supported")


@pytest.fixture
def nvml(monkeypatch):
    """A library with two devices, each of which has a counter of energy."""
    made = library(GPU_a=Gpu(), GPU_b=Gpu("Stand-in 2"))
    made.a, made.b = (made.nvmlDeviceGetHandleByUUID(uuid) for uuid in ("GPU-a", "GPU-b"))
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(usage, "time", made)
    return made


def idle(*uuids):
    """Return a meter that looks at the devices only when it is asked."""
    return Meter(uuids, len(uuids), every_seconds=3600)


def test_amounts_of_attempts_add_up():
    assert together({}, {"a": 1.0, "b": None}) == {"a": 1.0, "b": None}
    assert together({"a": 2.0, "b": 1.0, "c": 5.0}, {"a": 1.0, "b": None}) == {"a": 3.0, "b": None}
    assert together({"a": None}, {"a": 1.0, "b": 1.0}) == {"a": None, "b": None}


def test_energy_is_the_difference_of_the_counter(nvml):
    with idle("GPU-a") as meter:
        nvml.a.energy += 7_200_000  # mJ: 2 Wh
        nvml.a.memory, nvml.a.busy = 3_000_000_000, 90
        taken = GpuUsage.model_validate(meter.usage({}))
        assert meter.spent() == {"gpu_energy_wh": 2.0}
    assert taken == GpuUsage(
        devices=("Stand-in 1",),
        peak_memory_mb=3000.0,
        utilisation=0.9,
        energy_wh=2.0,
        how="energy by the driver's counter",
    )
    assert nvml.users == 0


def test_other_devices_of_the_machine_are_never_asked(nvml):
    with idle("GPU-a") as meter:
        nvml.a.energy += 1
        meter.usage({})
    assert nvml.a.asked > 0
    assert nvml.b.asked == 0


def test_two_devices_add_up_and_the_fullest_counts(nvml):
    with idle("GPU-a", "GPU-b") as meter:
        nvml.a.energy += 3_600_000
        nvml.b.energy += 7_200_000
        nvml.a.busy, nvml.b.busy, nvml.b.memory = 20, 40, 5_000_000_000
        taken = meter.usage({})
    assert (taken["energy_wh"], taken["utilisation"], taken["peak_memory_mb"]) == (3.0, 0.3, 5000.0)
    assert taken["devices"] == ["Stand-in 1", "Stand-in 2"]


def test_samples_are_taken_while_the_block_runs(nvml):
    with Meter(["GPU-a"], 1, every_seconds=0.001) as meter:
        nvml.a.memory = 9_000_000_000
        before = nvml.a.asked
        end = time.monotonic() + 30
        while nvml.a.asked < before + 9 and time.monotonic() < end:
            time.sleep(0.001)
        nvml.a.memory = 1_000_000_000
        taken = meter.usage({})
    assert taken["peak_memory_mb"] == 9000.0
    stopped = nvml.a.asked
    time.sleep(0.02)
    assert nvml.a.asked == stopped


@pytest.mark.parametrize("counter", [UNSUPPORTED, 7_000])
def test_without_a_counter_that_runs_power_is_summed_over_time(nvml, clock, counter):
    nvml.a.energy = counter
    with idle("GPU-a") as meter:
        clock.now, nvml.a.power = 1800.0, 300_000
        taken = meter.usage({})  # half an hour at 200 W in the mean
        clock.now = 3600.0
        again = meter.usage({})  # and half an hour at 300 W
    assert (taken["energy_wh"], taken["how"]) == (100.0, "energy from samples of power")
    assert again["energy_wh"] == 250.0


def test_a_part_of_a_gpu_has_memory_but_no_energy_of_its_own(nvml):
    nvml.a.energy = nvml.a.power = nvml.a.busy = UNSUPPORTED
    with idle("GPU-a") as meter:
        assert meter.spent() == {"gpu_energy_wh": None}
        taken = meter.usage({})
    assert (taken["energy_wh"], taken["utilisation"], taken["peak_memory_mb"]) == (None, None, 2000.0)
    assert taken["how"] == "energy not measured: Not Supported"


def test_one_device_without_energy_leaves_no_sum(nvml):
    nvml.b.energy = nvml.b.power = UNSUPPORTED
    with idle("GPU-a", "GPU-b") as meter:
        nvml.a.energy += 1000
        taken = meter.usage({})
    assert taken["energy_wh"] is None
    assert taken["how"] == "energy by the driver's counter; energy not measured: Not Supported"


def test_no_power_at_all_is_not_measured_rather_than_none_taken(nvml, clock):
    nvml.a.energy, nvml.a.power = UNSUPPORTED, 0
    with idle("GPU-a") as meter:
        clock.now = 10.0
        assert meter.usage({})["how"] == "energy not measured: the driver counts none"


def test_what_fails_in_the_middle_is_not_measured_and_the_rest_is(nvml, clock):
    with idle("GPU-a") as meter:
        clock.now = 3600.0
        nvml.a.energy = nvml.a.memory = NVMLError("GPU is lost")
        first = meter.usage({})
        nvml.a.energy, nvml.a.memory, nvml.a.power = 9_000_000, 1, NVMLError("Unknown Error")
        second = meter.usage({})
    assert (first["energy_wh"], first["how"]) == (100.0, "energy from samples of power")
    assert (first["peak_memory_mb"], first["utilisation"]) == (None, 0.5)
    # who came back after a failure may have missed something
    assert (second["energy_wh"], second["how"]) == (None, "energy not measured: Unknown Error")
    assert second["peak_memory_mb"] is None


def test_an_old_library_that_lacks_a_function_is_like_a_device_that_does(nvml, clock):
    del nvml.nvmlDeviceGetTotalEnergyConsumption
    with idle("GPU-a") as meter:
        clock.now = 3600.0
        assert meter.usage({})["energy_wh"] == 100.0


def test_the_energy_of_earlier_attempts_is_counted(nvml):
    with idle("GPU-a") as meter:
        nvml.a.energy += 3_600_000
        assert meter.usage({"seconds": 5.0, "gpu_energy_wh": 2.0})["energy_wh"] == 3.0
        unknown = meter.usage({"seconds": 5.0, "gpu_energy_wh": None})
    assert unknown["energy_wh"] is None
    assert unknown["how"] == "energy not measured in an earlier attempt"


def test_without_the_library_the_log_says_how_to_get_it(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with idle("GPU-a") as meter:
        taken = GpuUsage.model_validate(meter.usage({}))
        assert meter.spent() == {"gpu_energy_wh": None}
    why = "nvidia-ml-py is not installed (pip install -r requirements/gpu.lock)"
    assert caplog.messages == [f"what the GPU takes is not measured: {why}"]
    assert taken == GpuUsage(
        devices=(), peak_memory_mb=None, utilisation=None, energy_wh=None, how=f"not measured: {why}"
    )


def test_a_device_that_the_library_does_not_know_is_not_measured(nvml):
    with idle("GPU-c") as meter:
        assert meter.usage({})["how"] == "not measured: the driver's library says: Not Found"
    assert nvml.users == 0


def test_what_other_nodes_take_cannot_be_told_here(nvml):
    with Meter(["GPU-a", "GPU-b"], 4, every_seconds=3600) as meter:
        nvml.a.energy += 1000
        nvml.b.energy += 1000
        taken = meter.usage({})
    assert (taken["energy_wh"], taken["how"]) == (None, "energy not measured: 2 of 4 GPUs are on other nodes")
    assert taken["peak_memory_mb"] == 2000.0


def test_another_makers_gpu_is_not_measured(nvml):
    with idle("apple") as meter:
        assert meter.usage({})["how"] == "not measured: only NVIDIA's devices are asked"
    assert nvml.users == 0


def test_without_a_gpu_nothing_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with Meter([], 1) as meter:
        assert meter.spent() == {}
        assert meter.usage({}) is None
