"""A loop over batches that runs ONNX Runtime: python ort_loop.py MODEL_FOLDER PARQUET OUT_CSV"""

from pytorch import job
from resnet import OrtResnet, measure

if __name__ == "__main__":
    measure(job, kind=OrtResnet)
