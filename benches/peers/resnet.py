"""Shared code of the scripts for other systems: classification of JPEGs with Pillow and torch, and the timing of the job.

Each script runs as `python SCRIPT.py MODEL_FOLDER PARQUET OUT_CSV`, prints `images/s: NUMBER`, and writes one label per line.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps
from torchvision.models import get_model

# On two cores, PyTorch and Daft are slower with 32 and 64, and about as fast with 8.
BATCH = 16


class Resnet:
    def __init__(self, folder: Path, layout: torch.memory_format):
        config = json.loads((folder / "preprocessor_config.json").read_text())
        self.size = (config["size"]["width"], config["size"]["height"])
        self.mean, self.std = np.float32(config["image_mean"]), np.float32(config["image_std"])
        self.model = get_model(folder.name, weights=None).eval()
        self.model.load_state_dict(torch.load(folder / "state_dict.pt"))
        self.model.to(memory_format=layout)

    def preprocess(self, jpeg: bytes) -> torch.Tensor:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg))).convert("RGB")
        pixels = np.asarray(image.resize(self.size, Image.Resampling.BILINEAR), np.float32)
        return torch.from_numpy(((pixels / 255 - self.mean) / self.std).transpose(2, 0, 1))

    def top1(self, batch: torch.Tensor) -> list[int]:
        """The class index with the highest score, for each image."""
        # Set for each call, because the mode is per thread, and a system may call from any thread.
        with torch.inference_mode():
            return self.model(batch).argmax(1).tolist()

    def classify(self, jpegs: Sequence[bytes]) -> list[int]:
        batches = (jpegs[first : first + BATCH] for first in range(0, len(jpegs), BATCH))
        return [label for batch in batches for label in self.top1(torch.stack([self.preprocess(jpeg) for jpeg in batch]))]


class OrtResnet(Resnet):
    """The same preprocessing and weights with ONNX Runtime."""

    def __init__(self, folder: Path, layout: torch.memory_format):
        super().__init__(folder, layout)
        self.folder = folder
        self.load()

    def load(self):
        self.session = onnxruntime.InferenceSession(self.folder / "model.onnx", providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    # Daft pickles functions, and a session cannot be pickled.
    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "session"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.load()

    def top1(self, batch: torch.Tensor) -> list[int]:
        return self.session.run(None, {self.input: batch.numpy()})[0].argmax(1).tolist()


def measure(
    job: Callable[[Resnet, str], Iterable[int]],
    layout: torch.memory_format = torch.contiguous_format,
    kind: type[Resnet] = Resnet,
):
    """Times the job on the file of the command line, including reading it, excluding model loading and one warm-up batch."""
    folder, parquet, out = sys.argv[1:]
    resnet = kind(Path(folder), layout)
    resnet.classify(next(pq.ParquetFile(parquet).iter_batches(BATCH, columns=["image"]))["image"].to_pylist())
    start = time.perf_counter()
    classes = list(job(resnet, parquet))
    print(f"images/s: {len(classes) / (time.perf_counter() - start):.2f}")
    labels = json.loads((Path(folder) / "config.json").read_text())["id2label"]
    Path(out).write_text("".join(f"{labels[str(index)]}\n" for index in classes))
