"""Train one model on one split."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from serpens import allocation, io, stages
from serpens.artefacts import Schema
from serpens.checkpoints import KEY_DIGITS, Checkpoints
from serpens.data import Examples
from serpens.devices import leased
from serpens.run import script_run
from serpens.usage import Meter

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with script_run(snakemake) as run:
    schema = Schema.read(snakemake.input.schema)
    train, validation = (Examples(**io.map_arrays(snakemake.input[part])) for part in ("train", "validation"))
    nodes = allocation.nodes(snakemake.params.nodes)
    gpus = run.hold(leased(snakemake.resources.gpu // nodes))
    meter = run.hold(Meter(gpus, snakemake.resources.gpu))
    checkpoints = run.hold(
        Checkpoints(
            snakemake.params.checkpoints,
            run.key[:KEY_DIGITS],
            every_seconds=snakemake.params.checkpoint_seconds,
            deadline=run.deadline,
            spent=lambda: {**run.spent(), **meter.spent()},
        )
    )
    fitted = stages.train(
        run.settings,
        schema,
        train,
        validation,
        gpus=snakemake.resources.gpu,
        processes=snakemake.params.processes,
        nodes=nodes,
        threads=snakemake.threads,
        checkpoints=checkpoints,
    )
    io.write_arrays(snakemake.output.weights, fitted.model.state())
    io.write_columns(snakemake.output.history, fitted.history)
    stages.describe(run.settings, schema, fitted).write(snakemake.output.description)
    earlier = checkpoints.earlier
    run.facts.update(asdict(fitted.how), gpus=gpus, gpu_usage=meter.usage(earlier), earlier=earlier)
