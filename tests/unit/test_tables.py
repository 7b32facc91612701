"""The tables behind figures, where no whole study is needed to know them."""

from types import SimpleNamespace

import pandas as pd

from serpens import tables

ON_CPU = {"on_gpu": False, "gpu_memory_mb": None, "gpu_utilisation": None, "gpu_energy_wh": None}


def trained(model, **took):
    return {"model": model, "seconds": 2.0, "cpu_seconds": 1.5, "peak_memory_mb": 300.0} | ON_CPU | took


def on_gpu(model, memory, energy, utilisation=0.5, **took):
    measured = {"gpu_memory_mb": memory, "gpu_utilisation": utilisation, "gpu_energy_wh": energy}
    return trained(model, on_gpu=True, **measured, **took)


def cost(*trainings):
    """Return the cost of each model, by its name."""
    costs = pd.DataFrame(trainings)
    model = SimpleNamespace(parameters=7, baseline=False)
    table = tables.cost(SimpleNamespace(models=dict.fromkeys(costs["model"], model)), costs)
    return {row["model"]: row for row in table.to_dict("records")}


def test_what_gpus_took_is_the_most_memory_and_the_sum_of_energy():
    found = cost(on_gpu("net", 900.0, 1.25), on_gpu("net", 1000.0, 0.5), trained("net"), trained("linear"))
    net, linear = found["net"], found["linear"]
    assert (net["trainings"], net["gpu_trainings"], net["gpu_memory_mb"], net["gpu_energy_wh"]) == (3, 2, 1000.0, 1.75)
    assert (linear["gpu_trainings"], linear["gpu_memory_mb"], linear["gpu_energy_wh"]) == (0, None, None)


def test_utilisation_is_a_mean_over_time():
    found = cost(on_gpu("net", 1.0, 1.0, 0.2, seconds=30.0), on_gpu("net", 1.0, 1.0, 0.6, seconds=10.0))
    assert found["net"]["gpu_utilisation"] == 0.3


def test_one_training_that_was_not_measured_leaves_no_sum():
    net = cost(on_gpu("net", 900.0, 1.25), on_gpu("net", 1000.0, None, None))["net"]
    assert (net["gpu_memory_mb"], net["gpu_utilisation"], net["gpu_energy_wh"]) == (1000.0, None, None)
    assert cost(on_gpu("net", None, None))["net"]["gpu_memory_mb"] is None


def test_processor_time_is_summed_unless_an_old_record_lacks_it():
    assert cost(trained("net"), trained("net"))["net"]["cpu_seconds"] == 3.0
    assert cost(trained("net"), trained("net", cpu_seconds=None))["net"]["cpu_seconds"] is None
