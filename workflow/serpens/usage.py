"""What a job takes beside its time: amounts that add up over attempts; memory, utilisation and energy of its GPUs.

The driver's library (NVML) is asked about the devices that the job holds, by their UUID, and about no other: what else
the machine does is not this job's. A quantity that a device cannot tell, or fails to, is not measured; it is never 0.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)

# By name; None where it was not measured.
Amounts = Mapping[str, float | None]

EVERY_SECONDS = 1.0
WATT_HOUR = 3600.0  # joules
# What a device is asked: megabytes, a share of the time, watts, joules since the driver was loaded.
READINGS: dict[str, Callable[[Any, Any], float]] = {
    "memory": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / 1e6,
    "utilisation": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "power": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    "energy": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
}
# How their UUIDs begin, and those of their parts.
NVIDIA = ("GPU-", "MIG-")
INSTALL = "pip install -r requirements/gpu.lock"


def together(earlier: Amounts, now: Amounts) -> dict[str, float | None]:
    """Return what attempts took up to now; what one of them did not measure, nobody knows of all."""

    def added(name: str) -> float | None:
        before, here = earlier.get(name) if earlier else 0.0, now[name]
        return None if before is None or here is None else before + here

    return {name: added(name) for name in now}


class Meter:
    """Counts what GPUs take while a block runs, and is never in the way of what it counts: a context.

    Parameters
    ----------
    uuids
        The devices, as :func:`serpens.devices.leased` gives them; without any, nothing is measured.
    n
        GPUs of the whole training; what those on other nodes take cannot be told here.
    every_seconds
        Time between two looks at memory, utilisation and power.
    """

    def __init__(self, uuids: Sequence[str], n: int, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._uuids = uuids
        self._n = n
        self._every_seconds = every_seconds
        self._nvml: Any = None
        self._gpus: list[_Gpu] = []
        self._obstacle = ""
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._looking = threading.Thread(target=self._look, name="gpu usage", daemon=True)

    def __enter__(self) -> Self:
        if self._uuids:
            self._obstacle = self._open()
        if self._obstacle:
            logger.warning("what the GPU takes is not measured: %s", self._obstacle)
        if self._gpus:
            self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._gpus:
            self._looking.join()
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _open(self) -> str:
        """Find the devices; return what is in the way."""
        if not all(uuid.startswith(NVIDIA) for uuid in self._uuids):
            return "only NVIDIA's devices are asked"
        try:
            import pynvml
        except ImportError:
            return f"nvidia-ml-py is not installed ({INSTALL})"
        try:
            pynvml.nvmlInit()
            self._nvml = pynvml
            self._gpus = [_Gpu(pynvml, uuid) for uuid in self._uuids]
        except pynvml.NVMLError as error:
            return f"the driver's library says: {error}"
        return ""

    def _look(self) -> None:
        while not self._over.wait(self._every_seconds):
            with self._turn:
                for gpu in self._gpus:
                    gpu.look()

    def spent(self) -> Amounts:
        """Return what adds up over attempts, so far: ``gpu_energy_wh``; nothing where no GPU is held."""
        if not self._uuids:
            return {}
        with self._turn:
            energies = [gpu.joules()[0] for gpu in self._gpus]
        measured = [energy for energy in energies if energy is not None]
        return {"gpu_energy_wh": sum(measured) / WATT_HOUR if len(measured) == self._n else None}

    def usage(self, earlier: Amounts) -> dict[str, Any] | None:
        """Return the ``gpu_usage`` of a job's record: see :class:`serpens.artefacts.GpuUsage`.

        Parameters
        ----------
        earlier
            What the attempts took that this one went on from.
        """
        if not self._uuids:
            return None
        with self._turn:
            for gpu in self._gpus:
                gpu.look()
            ways = list(dict.fromkeys(gpu.joules()[1] for gpu in self._gpus))
        energy = together(earlier, self.spent())["gpu_energy_wh"]
        if elsewhere := self._n - len(self._uuids):
            ways = [f"energy not measured: {elsewhere} of {self._n} GPUs are on other nodes"]
        if earlier and earlier.get("gpu_energy_wh") is None:
            ways = ["energy not measured in an earlier attempt"]
        peaks = [gpu.peak_mb for gpu in self._gpus if gpu.peak_mb is not None]
        busy = [gpu.utilisation for gpu in self._gpus if gpu.utilisation is not None]
        return {
            "devices": [gpu.name for gpu in self._gpus],
            "peak_memory_mb": round(max(peaks), 1) if peaks else None,
            "utilisation": round(sum(busy) / len(busy), 3) if busy else None,
            "energy_wh": None if energy is None else round(energy, 4),
            "how": f"not measured: {self._obstacle}" if self._obstacle else "; ".join(ways),
        }


class _Gpu:
    """One device: what it said so far. What it failed to tell, if once, is not measured: a sum with a hole is none."""

    def __init__(self, nvml: Any, uuid: str) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        self.name: str = nvml.nvmlDeviceGetName(self._handle)
        self._failures: dict[str, str] = {}
        self._looks = 0
        self._peak_mb = self._busy = self._integrated = 0.0
        self._counted = self._told("energy")
        self._watts, self._when = self._told("power"), time.monotonic()

    def _told(self, quantity: str) -> float:
        """Return a reading, or 0 and remember that there is none."""
        try:
            return READINGS[quantity](self._nvml, self._handle)
        # an older library lacks functions
        except (self._nvml.NVMLError, AttributeError) as error:
            self._failures[quantity] = str(error)
            return 0.0

    def look(self) -> None:
        """Take a sample of memory, utilisation and power."""
        self._looks += 1
        self._peak_mb = max(self._peak_mb, self._told("memory"))
        self._busy += self._told("utilisation")
        watts, now = self._told("power"), time.monotonic()
        self._integrated += (self._watts + watts) / 2 * (now - self._when)
        self._watts, self._when = watts, now

    @property
    def peak_mb(self) -> float | None:
        """Most memory that was in use."""
        return None if "memory" in self._failures else self._peak_mb

    @property
    def utilisation(self) -> float | None:
        """Mean of the samples, from 0 to 1."""
        return None if "utilisation" in self._failures else self._busy / self._looks

    def joules(self) -> tuple[float | None, str]:
        """Return the energy so far, by the driver's counter if it has one that runs, and how it is known."""
        counted = self._told("energy") - self._counted
        if "energy" not in self._failures and counted > 0:
            return counted, "energy by the driver's counter"
        if "power" not in self._failures and self._integrated > 0:
            return self._integrated, "energy from samples of power"
        return None, f"energy not measured: {self._failures.get('power', 'the driver counts none')}"
