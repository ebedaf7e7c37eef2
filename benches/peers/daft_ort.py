"""A Daft UDF over batches that runs ONNX Runtime: python daft_ort.py MODEL_FOLDER PARQUET OUT_CSV"""

from daft_torch import job
from resnet import OrtResnet, measure

if __name__ == "__main__":
    measure(job, kind=OrtResnet)
