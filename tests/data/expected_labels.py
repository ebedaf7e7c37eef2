"""Writes the label and score that Pillow and ONNX Runtime compute for each image of a Parquet file.

    python expected_labels.py MODEL_DIR PARQUET OUT.csv

MODEL_DIR contains model.onnx, config.json and preprocessor_config.json (resize to a fixed size, rescale, normalise).
PARQUET has the columns uri and image. OUT.csv has uri, label and score (softmax of the logits), in the order of the
rows. The script shares no code with the engine, so its results are independent.
"""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from PIL import Image, ImageOps


def pixel_values(data, config):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    if config["do_resize"]:
        size = config["size"]
        image = image.resize((size["width"], size["height"]), config["resample"])
    values = np.asarray(image, dtype=np.float32)
    if config["do_rescale"]:
        values = values * np.float32(config["rescale_factor"])
    if config["do_normalize"]:
        values = (values - np.float32(config["image_mean"])) / np.float32(config["image_std"])
    return values.transpose(2, 0, 1)[np.newaxis]


def softmax(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def main(model_dir, parquet, out):
    model_dir = Path(model_dir)
    config = json.loads((model_dir / "preprocessor_config.json").read_text())
    labels = json.loads((model_dir / "config.json").read_text())["id2label"]
    session = onnxruntime.InferenceSession(model_dir / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    table = pq.read_table(parquet, columns=["uri", "image"])
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["uri", "label", "score"])
        for uri, data in zip(table["uri"].to_pylist(), table["image"].to_pylist()):
            scores = softmax(session.run(None, {name: pixel_values(data, config)})[0][0])
            best = int(scores.argmax())
            writer.writerow([uri, labels[str(best)], f"{scores[best]:.6f}"])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
