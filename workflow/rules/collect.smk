"""Collect: bring the data here, as they are, and write down where they came from.

Needs   the file that a study names, or its simulator
Makes   data/raw.parquet, data/source.json
"""


rule collect:
    input:
        unpack(needs("collect", files=sources, notes=notes, retrieved=stored)),
    output:
        raw=of_study("data/raw.parquet"),
        source=of_study("data/source.json"),
        record=of_study("records/collect.json"),
    log:
        of_study("logs/collect.log"),
    conda:
        "../../envs/cpu.yaml"
    threads: asked("collect", "threads")
    resources:
        **asks("collect"),
    params:
        settings=settings_of("collect"),
        # which of them gives the bytes changes no result
        addresses=lambda w: PROJECT.studies[w.study].data.addresses,
    script:
        "../scripts/collect.py"
