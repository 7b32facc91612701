"""A stand-in for NVML, as the module ``pynvml`` shows it: devices whose readings a test sets."""

from types import ModuleType, SimpleNamespace


class NVMLError(Exception):
    """As NVML fails."""


class Gpu:
    """A device; a reading that is an error is raised.

    Attributes
    ----------
    memory
        Bytes in use.
    busy
        Percent of the time.
    power
        Milliwatts.
    energy
        Millijoules since the driver was loaded.
    """

    def __init__(self, name="Stand-in 1", *, memory=2_000_000_000, busy=50, power=100_000, energy=7_000):
        self.name = name
        self.memory, self.busy, self.power, self.energy = memory, busy, power, energy
        self.asked = 0


def library(**devices) -> ModuleType:
    """Return the module, for devices by UUID (``GPU_a`` stands for ``GPU-a``)."""
    known = {uuid.replace("_", "-"): gpu for uuid, gpu in devices.items()}

    def handle(uuid):
        if uuid not in known:
            raise NVMLError("Not Found")
        return known[uuid]

    def told(name):
        def ask(gpu):
            gpu.asked += 1
            value = getattr(gpu, name)
            if isinstance(value, Exception):
                raise value
            return value

        return ask

    module = ModuleType("pynvml")
    module.NVMLError = NVMLError
    module.users = 0

    def count(change):
        module.users += change

    module.nvmlInit, module.nvmlShutdown = lambda: count(1), lambda: count(-1)
    module.nvmlDeviceGetHandleByUUID = handle
    module.nvmlDeviceGetName = lambda gpu: gpu.name
    memory, busy = told("memory"), told("busy")
    module.nvmlDeviceGetMemoryInfo = lambda gpu: SimpleNamespace(used=memory(gpu))
    module.nvmlDeviceGetUtilizationRates = lambda gpu: SimpleNamespace(gpu=busy(gpu))
    module.nvmlDeviceGetPowerUsage = told("power")
    module.nvmlDeviceGetTotalEnergyConsumption = told("energy")
    return module
