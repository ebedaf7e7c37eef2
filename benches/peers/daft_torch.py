"""A Daft UDF over batches that runs torch: python daft_torch.py MODEL_FOLDER PARQUET OUT_CSV"""

from collections.abc import Iterable

import daft

from resnet import BATCH, Resnet, measure


def job(resnet: Resnet, parquet: str) -> Iterable[int]:
    @daft.func.batch(return_dtype=daft.DataType.int64(), batch_size=BATCH)
    def classify(images: daft.Series) -> list[int]:
        return resnet.classify(images.to_pylist())

    return daft.read_parquet(parquet).select(classify(daft.col("image")).alias("label")).to_pydict()["label"]


if __name__ == "__main__":
    measure(job)
