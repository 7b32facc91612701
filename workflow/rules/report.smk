"""Report: what a person reads, one file per study and an index over all.

Needs   everything that a study made
Makes   report.html, study.json, data/changes.json, figures/, tables/, crate/, an entry in history/ and one in
        collections/; index.html and scores.csv over all studies
"""


rule report:
    input:
        unpack(
            needs(
                "report",
                evaluation=of_study("evaluation.json"),
                predictions=of_study("predictions"),
                cleaning=of_study("data/cleaning.json"),
                digest=of_study("data/digest.json"),
                source=of_study("data/source.json"),
                schema=of_study("data/split-0/schema.json"),
                table=of_study("data/clean.parquet"),
                parts=per_split("data/split-{split}/{part}.parquet"),
                histories=per_run(f"models/{RUN}/history.parquet"),
                descriptions=per_run(f"models/{RUN}/model.json"),
                collected=of_study("records/collect.json"),
                cleaned=of_study("records/clean.json"),
                dealt=per_split("records/split/split-{split}.json"),
                trained=per_run(f"records/train/{RUN}.json"),
                evaluated=of_study("records/evaluate.json"),
            )
        ),
    output:
        html=report(
            of_study("report.html"), caption="../report/report.rst", category="{study}"
        ),
        study=of_study("study.json"),
        figures=[
            report(
                of_study(f"figures/{name}.svg"),
                caption=f"../report/{name}.rst",
                category="{study}",
            )
            for name in FIGURES
        ],
        tables=expand(of_study("tables/{name}.csv"), name=TABLES, allow_missing=True),
        changes=of_study("data/changes.json"),
        crate=of_study("crate/ro-crate-metadata.json"),
        workflow=of_study("crate/Snakefile"),
        record=of_study("records/report.json"),
    log:
        of_study("logs/report.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("report", "threads")
    resources:
        **asks("report"),
    params:
        settings=settings_of("report"),
    script:
        "../scripts/report.py"


rule index:
    input:
        unpack(
            needs(
                "index",
                evaluations=per_study("evaluation.json"),
                scores=per_study("scores.csv"),
            )
        ),
    output:
        html=report(at("index.html"), caption="../report/index.rst"),
        scores=at("scores.csv"),
        record=at("records/index.json"),
    log:
        at("logs/index.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("index", "threads")
    resources:
        **asks("index"),
    params:
        settings=settings_of("index"),
    script:
        "../scripts/index.py"
