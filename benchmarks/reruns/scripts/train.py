"""Train one model on one split."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import alone  # noqa: E402 - the package lies beside this folder
from serpens import configfile  # noqa: E402

# Snakemake gives wildcards, DVC words
words = list(snakemake.wildcards) if "snakemake" in globals() else sys.argv[1:]  # noqa: F821
alone.job(configfile.load(["mine.yaml"], {}), "train", words)
