"""Writes images preprocessed by other libraries, the expected results of the preprocessing tests: python3 tests/data/preprocess/make.py

The committed files were written with transformers 5.23.0 and 5.24.0, whose results are equal (the processors based on Pillow), timm 1.0.31
and torchvision 0.29.2.
CASE/IMAGE.f32 is examples/data/photos/IMAGE.png preprocessed as in CASE: float32, little endian, [3, height, width]. The sizes
are small, and some leave an odd number of pixels to crop.
"""

import json
import re
from pathlib import Path

import numpy
import timm.data
import transformers
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

HERE = Path(__file__).parent
PHOTOS = HERE.parent.parent.parent / "examples" / "data" / "photos"
IMAGES = ["horse", "schooner"]

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BOTH = {"image_mean": MEAN, "image_std": STD}
# The keys of the file besides the name of the processor. Older files have plain numbers as sizes.
PROCESSORS = {
    "ConvNext": {"size": 12, "crop_pct": 0.875, "resample": 3, **BOTH},
    "ConvNextWarped": {"size": {"shortest_edge": 384}},
    "ViT": {"size": 12, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "CLIP": {"size": 13, "crop_size": 10, "do_center_crop": True, "resample": 3},
    "CLIPPadded": {"size": 10, "crop_size": 13, "do_center_crop": True, "resample": 3},
    "Bit": {"size": {"shortest_edge": 16}, "crop_size": {"height": 9, "width": 12}},
    "Levit": {"size": {"shortest_edge": 12}, "crop_size": {"height": 11, "width": 11}},
    "DeiT": {"size": {"height": 15, "width": 14}, "crop_size": {"height": 12, "width": 12}},
    "MobileNetV2": {"size": {"shortest_edge": 14}, "crop_size": {"height": 11, "width": 11}},
    "MobileViT": {"size": {"shortest_edge": 14}, "crop_size": {"height": 11, "width": 11}},
    "EfficientNet": {"size": {"height": 12, "width": 12}, "resample": 0, **BOTH},
    "EfficientNetOffset": {"size": 12, "rescale_offset": True, "do_normalize": False},
    "PoolFormer": {"size": 12, "crop_size": {"height": 12, "width": 12}, "crop_pct": 0.8},
    "Beit": {"size": [12, 11], "image_mean": 0.25, "image_std": 0.5},
    # Null is not the default: the flag is false.
    "ViTNull": {"size": 12, "do_normalize": None, "image_mean": None, "image_std": None, "do_center_crop": None},
    "Siglip": {"size": {"height": 12, "width": 11}, "do_rescale": True, "rescale_factor": 0.00784313725490196},
}
TIMM = {
    "timm-center": {"input_size": [3, 12, 12], "interpolation": "bicubic", "crop_pct": 0.8, "mean": MEAN, "std": STD},
    "timm-squash": {"input_size": [3, 12, 12], "crop_pct": 1.0, "crop_mode": "squash", "mean": MEAN, "std": STD},
}
# (resize_size, crop_size), in the ratio of ResNet-50's first and second weights.
TORCHVISION = {"torchvision-v1": (16, 14), "torchvision-v2": (29, 28)}


def main():
    for name, keys in PROCESSORS.items():
        known = re.sub("(Warped|Padded|Offset|Null)$", "", name)
        file = {"image_processor_type": f"{known}ImageProcessor", **keys}
        processor = getattr(transformers, f"{known}ImageProcessorPil")(**keys)
        # Only the first rows of a large output.
        rows = 2 if name == "ConvNextWarped" else None
        write(name, lambda image: processor(image, return_tensors="np").pixel_values[0][:, :rows])
        (HERE / name / "preprocessor_config.json").write_text(json.dumps(file, indent=1) + "\n")
    for name, cfg in TIMM.items():
        config = timm.data.resolve_data_config({}, pretrained_cfg=cfg)
        write(name, timm.data.create_transform(**config, is_training=False))
        (HERE / name / "config.json").write_text(json.dumps({"pretrained_cfg": cfg}, indent=1) + "\n")
    for name, (resize, crop) in TORCHVISION.items():
        preset = ImageClassification(crop_size=crop, resize_size=resize, interpolation=InterpolationMode.BILINEAR)
        write(name, preset)


def write(case, prepare):
    (HERE / case).mkdir(exist_ok=True)
    for name in IMAGES:
        pixels = numpy.asarray(prepare(Image.open(PHOTOS / f"{name}.png").convert("RGB")), dtype="<f4")
        (HERE / case / f"{name}.f32").write_bytes(numpy.ascontiguousarray(pixels).tobytes())


if __name__ == "__main__":
    main()
