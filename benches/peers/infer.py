"""Classifies photos.parquet a hundred times with Pillow and ONNX Runtime: python3 benches/peers/infer.py

A simple script: images are decoded one by one in Python, and batches of 16 are run by ONNX Runtime on all cores. Needs numpy, onnxruntime, pillow and pyarrow.
"""

import io
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "engine" / "src" / "models" / "resnet20-cifar10"
REPEATS = 100
BATCH = 16


def main():
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    config = json.loads((MODEL / "preprocessor_config.json").read_text())
    mean, std = np.float32(config["image_mean"]), np.float32(config["image_std"])
    images = pq.read_table(ROOT / "examples" / "data" / "photos.parquet", columns=["image"])["image"].to_pylist() * REPEATS

    def preprocess(data):
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB").resize((32, 32), 2)
        return ((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1)

    start = time.perf_counter()
    for first in range(0, len(images), BATCH):
        session.run(None, {name: np.stack([preprocess(data) for data in images[first : first + BATCH]])})
    print(f"Pillow and ONNX Runtime: {len(images) / (time.perf_counter() - start):.1f} images/s")


if __name__ == "__main__":
    main()
