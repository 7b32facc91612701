"""Serpens: from a research question and a data set to evidence.

snakemake --cores                                  the studies of config.yaml
snakemake --cores --config run=breast_cancer       one of them
snakemake --cores --configfile mine.yaml           your own
"""

import sys
from pathlib import Path

HERE = Path(workflow.current_basedir.get_path_or_uri(secret_free=False))
sys.path.insert(0, str(HERE / "workflow"))

from serpens import configfile, environment, occupancy
from serpens.errors import SerpensError
from serpens.layout import LOCKS, RUNNING

try:
    environment.check()
    PROJECT = configfile.load(
        workflow.overwrite_configfiles,
        workflow.config_settings.config,
        # as a module of another workflow, Serpens takes its studies from there
        embedded=config if workflow.modifier.skip_configfile else None,
    )
except SerpensError as err:
    raise WorkflowError(str(err)) from None


if workflow.is_main_process and (found := occupancy.release_dead(RUNNING, LOCKS)):
    logger.warning(found)


onstart:
    occupancy.occupy(RUNNING)


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/clean.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        targets,
