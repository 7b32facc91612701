"""Write the report of a study."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import alone

from serpens import configfile

# Snakemake gives wildcards, DVC words
words = list(snakemake.wildcards) if "snakemake" in globals() else sys.argv[1:]  # noqa: F821
alone.job(configfile.load(["mine.yaml"], {}), "report", words)
