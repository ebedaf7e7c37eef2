"""A DuckDB UDF over Arrow arrays that runs ONNX Runtime: python duckdb_ort.py MODEL_FOLDER PARQUET OUT_CSV"""

from duckdb_torch import job
from resnet import OrtResnet, measure

if __name__ == "__main__":
    measure(job, kind=OrtResnet)
