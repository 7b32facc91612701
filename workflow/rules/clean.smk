"""Clean: say what every row and column is, then part the rows as the claim asks.

Needs   data/raw.parquet
Makes   data/clean.parquet, cleaning.json, digest.json; for each split its parts, schema.json and examples
Steps   wash the table part by part where it is dealt to jobs; clean the whole table; then, split by split, assign rows,
        learn preprocessing on the training rows, apply it
"""


rule wash:
    input:
        unpack(needs("wash", raw=of_study("data/raw.parquet"))),
    output:
        rows=of_study("data/shards/{shard}.arrow"),
        found=of_study("data/shards/{shard}.json"),
        record=of_study("records/wash/shard-{shard}.json"),
    log:
        of_study("logs/wash/shard-{shard}.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("wash", "threads")
    resources:
        **asks("wash"),
    params:
        settings=settings_of("wash"),
    script:
        "../scripts/wash.py"


checkpoint clean:
    input:
        unpack(
            needs(
                "clean",
                raw=of_study("data/raw.parquet"),
                rows=per_shard("data/shards/{shard}.arrow"),
                found=per_shard("data/shards/{shard}.json"),
            )
        ),
    output:
        table=of_study("data/clean.parquet"),
        cleaning=of_study("data/cleaning.json"),
        digest=of_study("data/digest.json"),
        record=of_study("records/clean.json"),
    log:
        of_study("logs/clean.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("clean", "threads")
    resources:
        **asks("clean"),
    params:
        settings=settings_of("clean"),
    script:
        "../scripts/clean.py"


rule split:
    input:
        unpack(
            needs(
                "split",
                table=of_study("data/clean.parquet"),
                digest=of_study("data/digest.json"),
            )
        ),
    output:
        train=of_study("data/split-{split}/train.parquet"),
        validation=of_study("data/split-{split}/validation.parquet"),
        calibration=of_study("data/split-{split}/calibration.parquet"),
        test=of_study("data/split-{split}/test.parquet"),
        train_arrays=of_study("data/split-{split}/train.safetensors"),
        validation_arrays=of_study("data/split-{split}/validation.safetensors"),
        schema=of_study("data/split-{split}/schema.json"),
        record=of_study("records/split/split-{split}.json"),
    log:
        of_study("logs/split/split-{split}.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("split", "threads")
    resources:
        **asks("split"),
    params:
        settings=settings_of("split"),
    script:
        "../scripts/split.py"
