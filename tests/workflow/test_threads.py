"""Jobs of one thread on a machine with several cores, whose work libraries would gladly share out."""

import json
import os

import pytest

SIMULATOR = '''
import numpy as np


def simulate(*, rows, seed):
    """Multiply matrices for half a second of one core."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        rng.normal(size=(900, 900)) @ rng.normal(size=(900, 900))
    x = rng.normal(size=(rows, 12))
    return {f"x{k}": x[:, k] for k in range(12)} | {"y": x.sum(axis=1) + rng.normal(size=rows)}
'''
NETWORK = '''
import torch
from torch import nn


class Net(nn.Module):
    """Two wide layers, side by side where torch can."""

    def __init__(self, *, input_shape, n_outputs):
        super().__init__()
        self.left, self.right = (nn.Linear(input_shape[0], 1500) for _ in range(2))
        self.mix, self.out = nn.Linear(1500, 1500), nn.Linear(1500, n_outputs)

    def forward(self, x):
        left = torch.jit.fork(self.left, x)
        return self.out(torch.relu(self.mix(torch.jit.wait(left) + self.right(x))))
'''
STUDY = """
studies:
  busy:
    question: Who takes more than was given?
    data: {simulator: "sim.py:simulate", rows: 12000, seed: 1}
    target: y
    split: {validation: 0.2, calibration: 0.0, test: 0.2}
    repeats: 1
    models: [{name: net, family: custom, path: "net.py:Net"}]
    baselines: [linear, boosted_trees]
    training: {max_epochs: 2, batch_size: 512}
"""
# Of a core: threads that clean up, compress or wait take little.
MARGIN = 0.12


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot run two threads at once")
def test_no_job_takes_more_processor_time_than_the_core_that_it_was_given(project):
    for name, text in (("sim.py", SIMULATOR), ("net.py", NETWORK), ("mine.yaml", STUDY)):
        project.write(name, text)
    project.run()
    records = [json.loads(path.read_text()) for path in project.folder.glob("results/busy/records/**/*.json")]
    taken = {(each["rule"], *each["wildcards"].values()): each["cpu_seconds"] / each["seconds"] for each in records}
    assert len(taken) == 8
    assert {job: cores for job, cores in taken.items() if cores > 1 + MARGIN} == {}
