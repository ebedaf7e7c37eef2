"""A DuckDB UDF over Arrow arrays that runs torch: python duckdb_torch.py MODEL_FOLDER PARQUET OUT_CSV"""

from collections.abc import Iterable

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from resnet import Resnet, measure


def job(resnet: Resnet, parquet: str) -> Iterable[int]:
    def classify(images: pa.ChunkedArray) -> pa.Array:
        return pa.array(resnet.classify(images.to_pylist()), pa.int64())

    duckdb.create_function("classify", classify, ["BLOB"], "BIGINT", type=PythonUDFType.ARROW)
    return [label for (label,) in duckdb.sql(f"SELECT classify(image) FROM '{parquet}'").fetchall()]


if __name__ == "__main__":
    measure(job)
