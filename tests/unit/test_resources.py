import hashlib
import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources"
FILES = sorted(path.name for path in RESOURCES.glob("*.csv"))
SOURCES = {
    "breast_cancer.csv": ("CC BY 4.0", "10.24432/C5DW2B"),
    "digits.csv": ("CC BY 4.0", "10.24432/C50P49"),
    "mauna_loa_co2.csv": ("public domain", "Keeling"),
}


def described():
    """Return the rows of the table in resources/README.md by file."""
    lines = (RESOURCES / "README.md").read_text().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def configured():
    """Return the data of the studies of config.yaml by file."""
    studies = yaml.safe_load((ROOT / "config.yaml").read_text())["studies"].values()
    return {Path(study["data"]["file"]).name: study["data"] for study in studies if "file" in study["data"]}


def test_every_file_is_described_and_used():
    assert list(described()) == FILES == sorted(configured())


@pytest.mark.parametrize("name", FILES)
def test_the_sha256_is_the_one_that_is_written_down(name):
    found = hashlib.sha256((RESOURCES / name).read_bytes()).hexdigest()
    assert re.fullmatch(r"`([0-9a-f]{64})`", described()[name]["sha256"])[1] == found
    assert configured()[name]["sha256"] == found


@pytest.mark.parametrize("name", FILES)
def test_origin_and_licence_are_written_down(name):
    licence, origin = SOURCES[name]
    assert described()[name]["licence"] == configured()[name]["license"] == licence
    assert origin in described()[name]["origin"]
    assert origin in configured()[name]["citation"]


def test_breast_cancer_is_the_wisconsin_set():
    frame = pd.read_csv(RESOURCES / "breast_cancer.csv")
    assert frame.shape == (569, 31)
    assert frame["diagnosis"].value_counts().to_dict() == {"benign": 357, "malignant": 212}
    # the malignant masses are the larger ones: the labels are not swapped
    assert frame.groupby("diagnosis")["mean_radius"].mean().round(2).to_dict() == {"benign": 12.15, "malignant": 17.46}


def test_digits_are_the_optical_set():
    frame = pd.read_csv(RESOURCES / "digits.csv")
    assert frame.shape == (1797, 65)
    assert frame["digit"].value_counts().sort_index().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    pixels = frame.drop(columns="digit").to_numpy()
    assert (pixels.min(), pixels.max()) == (0, 16)
    zero = pixels[frame["digit"] == 0].mean(axis=0).reshape(8, 8)
    assert zero[3:5, 3:5].max() < 2 < zero[0, 2:5].min()


def test_carbon_dioxide_is_a_weekly_series_that_rises():
    frame = pd.read_csv(RESOURCES / "mauna_loa_co2.csv", parse_dates=["date"])
    assert frame.shape == (2284, 2)
    assert frame["co2"].isna().sum() == 59
    assert set(np.diff(frame["date"])) == {np.timedelta64(7, "D")}
    assert (str(frame["date"].iloc[0])[:10], frame["co2"].iloc[0]) == ("1958-03-29", 316.1)
    yearly = frame.groupby(frame["date"].dt.year)["co2"].mean()
    assert yearly.loc[1965:].is_monotonic_increasing
    assert yearly[2000] == pytest.approx(369.5, abs=0.5)


@pytest.mark.parametrize("name", FILES)
def test_make_writes_the_same_rows_again(name):
    made = runpy.run_path(str(RESOURCES / "make.py"))[name.removesuffix(".csv")]()
    assert made.to_csv(index=False, lineterminator="\n").encode() == (RESOURCES / name).read_bytes()
