"""Train: one job for one model, split and repeat.

Needs   the training and validation examples of a split, and what was learned of them
Makes   models/{model}/split-{split}-repeat-{repeat}/ with weights, description and history
"""


rule train:
    input:
        unpack(
            needs(
                "train",
                train=of_study("data/split-{split}/train.safetensors"),
                validation=of_study("data/split-{split}/validation.safetensors"),
                schema=of_study("data/split-{split}/schema.json"),
            )
        ),
    output:
        weights=of_study(f"models/{RUN}/weights.safetensors"),
        description=of_study(f"models/{RUN}/model.json"),
        history=of_study(f"models/{RUN}/history.parquet"),
        record=of_study(f"records/train/{RUN}.json"),
    log:
        of_study(f"logs/train/{RUN}.log"),
    group:
        together
    conda:
        "../../envs/cpu.yaml"
    threads: asked("train", "threads")
    resources:
        **asks("train"),
    params:
        settings=settings_of("train"),
        # no output: Snakemake would delete it with the job that died
        checkpoints=checkpoint_folder,
        checkpoint_seconds=lambda w: PROJECT.studies[
            w.study
        ].resources.checkpoint_seconds,
        processes=lambda w: PROJECT.studies[w.study].resources.processes or 1,
        nodes=lambda w: PROJECT.studies[w.study].resources.nodes,
    script:
        "../scripts/train.py"
