"""Evaluate: score every model once on the test rows, and compare them on the same rows.

Needs   the trained models of a study, its validation and test rows
Makes   predictions/, evaluation.json, scores.csv
"""


rule evaluate:
    input:
        unpack(
            needs(
                "evaluate",
                parts=per_split("data/split-{split}/{part}.parquet"),
                schemas=per_split("data/split-{split}/schema.json"),
                weights=per_run(f"models/{RUN}/weights.safetensors"),
                descriptions=per_run(f"models/{RUN}/model.json"),
            )
        ),
    output:
        predictions=directory(of_study("predictions")),
        evaluation=of_study("evaluation.json"),
        scores=of_study("scores.csv"),
        record=of_study("records/evaluate.json"),
    log:
        of_study("logs/evaluate.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("evaluate", "threads")
    resources:
        **asks("evaluate"),
    params:
        settings=settings_of("evaluate"),
    script:
        "../scripts/evaluate.py"
