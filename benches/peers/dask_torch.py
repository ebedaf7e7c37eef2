"""A Dask dataframe, a partition per row group, torch in `map_partitions`: python dask_torch.py MODEL_FOLDER PARQUET OUT_CSV"""

from collections.abc import Iterable

import dask.dataframe as dd
import pandas as pd

from resnet import Resnet, measure


def job(resnet: Resnet, parquet: str) -> Iterable[int]:
    def classify(images: pd.Series) -> pd.Series:
        return pd.Series(resnet.classify(images.tolist()), index=images.index, dtype="int64")

    frame = dd.read_parquet(parquet, columns=["image"], split_row_groups=1)
    return frame["image"].map_partitions(classify, meta=("label", "int64")).compute()


if __name__ == "__main__":
    measure(job)
