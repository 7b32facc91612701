"""Question, file and target alone, on a table as people have them."""

import json

import numpy as np


def ordinary(n=20_000, seed=0):
    """Numbers, categories, dates, missing words, duplicates, an identifier and a constant; what tells is planted."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n)
    income = np.exp(rng.normal(10, 0.5, n)).round(2)
    region = rng.choice(["north", "south", "east", "west"], n, p=[0.4, 0.3, 0.2, 0.1])
    since = np.datetime64("2015-01-01") + rng.integers(0, 3000, n).astype("timedelta64[D]")
    score = 0.04 * (age - 50) + (region == "north") + 0.001 * (since - np.datetime64("2019-01-01")).astype(int)
    outcome = np.where(rng.random(n) < 1 / (1 + np.exp(-score)), "stays", "leaves")
    income = income.astype(str)
    income[rng.random(n) < 0.05] = "NA"
    income[rng.random(n) < 0.02] = "unknown"
    region = region.astype(object)
    region[rng.random(n) < 0.03] = ""
    lines = [
        f"c{i:05d},{a},{b},{c},{d},Europe,{e}"
        for i, (a, b, c, d, e) in enumerate(zip(age, income, region, since, outcome, strict=True))
    ]
    lines += lines[:50]
    return "customer,age,income,region,since,continent,outcome\n" + "\n".join(lines) + "\n"


def test_six_lines_are_enough(project):
    project.write("visits.csv", ordinary())
    project.write(
        "mine.yaml",
        "studies:\n  mine:\n    question: Who stays?\n    data: visits.csv\n    target: outcome\n    repeats: 1\n",
    )
    project.run()
    study = project.folder / "results/mine"
    cleaning = json.loads((study / "data/cleaning.json").read_text())
    assert cleaning["rows"]["read"] == 20_050
    assert cleaning["rows"]["kept"] + sum(cleaning["rows"]["dropped"].values()) == 20_050
    columns = {column["name"]: column for column in cleaning["columns"]}
    assert {name: column["type"] for name, column in columns.items() if column["kept"]} == {
        "age": "number",
        "income": "number",
        "region": "category",
        "since": "time",
        "outcome": "category",
    }
    assert columns["income"]["missing_words"].keys() == {"NA", "unknown"}
    assert "constant" in columns["continent"]["reason"]
    assert "identifier" in columns["customer"]["reason"]
    evaluation = json.loads((study / "evaluation.json").read_text())
    assert evaluation["task"] == "classification"
    # the planted model's own AUC is .80: nobody can be far better
    assert 0.76 < evaluation["models"]["linear"]["metrics"]["roc_auc"]["value"] < 0.83
    resolved = json.loads((study / "study.json").read_text())
    assert resolved["task"] == "classification"
    assert resolved["metric"] == "roc_auc"
