# make setup  the environment alone, with the build of torch that fits the machine     TORCH=auto (cpu, cuda, cu126, default)
# make run    the studies of config.yaml            CORES=4  ARGS="--config run=qubit"
# make test   what CI runs                           ARGS="-k splits"
# make why    which jobs would run, why, and what they took last     ARGS="--configfile mine.yaml"
# make plan   what each job would ask for, and why                   ARGS="--all"
# make verify every result held against its record                   ARGS="--results results"
# make check  format, lint, types
# make test-full   the long ones too
# make checkpoints   what stopped trainings left; those that no training goes on from are removed with ARGS="remove"
# make slurm  what a SLURM cluster needs besides (docs/cluster.md)
# Each does its own set-up, once, in .venv: Python 3.11, pip and make are all that must be there.

PYTHON ?= python3
CORES ?= 2
ARGS ?=
TORCH ?= auto
# files of tests side by side, each on one thread: most of their time one process waits for another, or for SLURM
TESTING := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $$(($(CORES) + 1)) --dist loadfile
SMK := workflow profiles Snakefile

run: .venv/core
	.venv/bin/snakemake --cores $(CORES) $(ARGS)
	@echo "$$(pwd)/results/index.html"

setup: .venv/core

slurm: .venv/slurm

why: .venv/core
	@PYTHONPATH=workflow .venv/bin/python -m serpens.why $(ARGS)

plan: .venv/core
	@PYTHONPATH=workflow .venv/bin/python -m serpens.asks $(ARGS)

verify: .venv/core
	@PYTHONPATH=workflow .venv/bin/python -m serpens.verify $(ARGS)

test: .venv/test .venv/plugin .venv/moto
	$(TESTING) -m "not slow" $(ARGS)

test-full: .venv/test .venv/plugin .venv/moto
	$(TESTING) $(ARGS)

check: .venv/test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/snakefmt --check Snakefile workflow/rules benchmarks/reruns/Snakefile
	.venv/bin/mypy
	.venv/bin/snakemake --lint

# what stopped trainings go on from      ARGS="list" or, of those that nobody works on, ARGS="remove"
checkpoints: .venv/core
	@PYTHONPATH=workflow .venv/bin/python -m serpens.leftovers $(ARGS)

# what is generated from the code: schemas and the configuration page
generate: .venv/core
	PYTHONPATH=workflow .venv/bin/python -m serpens.configdocs
	PYTHONPATH=workflow .venv/bin/python -m serpens.artefacts

benchmark: .venv/test .venv/benchmark
	.venv/bin/python benchmarks/training.py
	.venv/bin/python benchmarks/run.py
	.venv/bin/python benchmarks/checkpointing.py
	PYTHONPATH=workflow .venv/bin/python -m benchmarks.loading

# what a GPU is worth, in eight minutes; says so where there is none
benchmark-gpu: .venv/test .venv/benchmark
	.venv/bin/python benchmarks/gpu/run.py $(ARGS)

# which jobs run after an edit, against plain Snakemake and DVC; half an hour
benchmark-reruns: .venv/test .venv-dvc/dvc
	.venv/bin/python benchmarks/reruns/compare.py --dvc .venv-dvc/bin/dvc

# a messy table cleaned by Serpens, Polars, DuckDB and pandas, with the same result; an hour, 40 GB of disk
benchmark-cleaning: .venv/test .venv/benchmark
	PYTHONPATH=.:workflow .venv/bin/python -m benchmarks.cleaning.run $(ARGS)

# what it costs to find that nothing is to be done; makes a thousand jobs first
benchmark-planning: .venv/test
	.venv/bin/python benchmarks/planning.py

# DVC needs other versions of some libraries, so it lives apart
.venv-dvc/dvc: requirements/dvc.lock
	$(PYTHON) -m venv .venv-dvc
	.venv-dvc/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Serpens needs Python 3.11; $(PYTHON) is $$($(PYTHON) --version 2>&1): run make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# looked at again when it is asked for, or another build of torch is
.venv/core: requirements/core.lock requirements/install.py .venv/bin/python $(if $(filter setup,$(MAKECMDGOALS))$(filter-out auto,$(TORCH)),again)
	.venv/bin/python requirements/install.py $(TORCH)
	@touch $@

again:

.venv/%: requirements/%.lock .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/test: .venv/core
.venv/benchmark: .venv/core
.venv/slurm: .venv/core

# the same plugin apart from the rest, for tests/slurm: it slows down every start of Snakemake that finds it
.venv/plugin: requirements/slurm.lock .venv/core
	grep -v '^-r' $< > .venv/plugin.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ -r .venv/plugin.lock
	@touch $@

# a server of S3 and what reads from it, apart from the rest: botocore needs an older library than core.lock has
.venv/moto: requirements/moto.lock requirements/s3.lock .venv/core
	grep -hv '^-r' requirements/s3.lock $< > .venv/moto.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ -r .venv/moto.lock
	@touch $@

.PHONY: again run setup slurm why plan verify checkpoints test test-full check generate
.PHONY: benchmark benchmark-cleaning benchmark-gpu benchmark-reruns benchmark-planning
