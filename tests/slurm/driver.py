"""Snakemake as it is, but that it asks SLURM every second how jobs do, where the plugin asks ever more seldom."""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 1.0, lambda self, value: None)
sys.argv[0] = "snakemake"
main()
