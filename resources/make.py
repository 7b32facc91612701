"""Write the data files of this folder from the packages that bundle them: python resources/make.py."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits

HERE = Path(__file__).parent


def breast_cancer() -> pd.DataFrame:
    """569 masses, 30 measurements each."""
    data = load_breast_cancer()
    frame = pd.DataFrame(data.data, columns=[str(name).replace(" ", "_") for name in data.feature_names])
    return frame.assign(diagnosis=data.target_names[data.target])


def digits() -> pd.DataFrame:
    """1,797 images of 8 x 8 pixels with values 0 to 16."""
    data = load_digits()
    frame = pd.DataFrame(data.data.astype(int), columns=[f"pixel_{i:02d}" for i in range(64)])
    return frame.assign(digit=data.target)


def mauna_loa_co2() -> pd.DataFrame:
    """2,284 weeks, 59 of them without a measurement."""
    from statsmodels.datasets import co2

    data = co2.load_pandas().data
    return pd.DataFrame({"date": data.index.strftime("%Y-%m-%d"), "co2": np.round(data["co2"].to_numpy(), 2)})


if __name__ == "__main__":
    for make in (breast_cancer, digits, mauna_loa_co2):
        make().to_csv(HERE / f"{make.__name__}.csv", index=False, lineterminator="\n")
