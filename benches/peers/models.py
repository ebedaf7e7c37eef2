"""Writes ResNet-18 and ResNet-50 in folders laid out like the Hugging Face hub's: python models.py OUT_FOLDER

torchvision's architectures with seeded random weights: speed does not depend on the weights, and nothing has to be downloaded. The
exporter folds each batch norm into the preceding convolution. `state_dict.pt`, next to `model.onnx`, has the same weights
before folding, for systems that run torch.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from torch.nn.functional import interpolate
from torchvision.models import get_model

ARCHITECTURES = ("resnet18", "resnet50")
CLASSES = 1000
SIDE = 224
BILINEAR = 2
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]
OPSET = 17


def seeded(architecture: str) -> torch.nn.Module:
    """Random weights alone assign nearly every image the same label, and then equal labels prove nothing.

    Therefore the batch norms take their statistics from synthetic images, the mean of the last layer over these is shifted to zero,
    and the residual branches are weak; otherwise a pixel that is rounded differently often changes the label.
    """
    torch.manual_seed(0)
    model = get_model(architecture, weights=None, zero_init_residual=True)
    images = synthetic_images(16)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
                layer.weight.clamp_(min=0.1)
        model.train()(images)
        model.eval().fc.bias -= model(images).mean(0)
    return model


def synthetic_images(count: int) -> torch.Tensor:
    """Noise at several scales, with larger amplitudes at coarser ones, as in photographs."""
    noises = [torch.randn(count, 3, side, side) / side**0.5 for side in (2, 4, 8, 16, 32, 64, 128)]
    return 1.4 * sum(interpolate(noise, size=(SIDE, SIDE), mode="bilinear") for noise in noises)


def write(architecture: str, folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    model = seeded(architecture)
    torch.save(model.state_dict(), folder / "state_dict.pt")
    with warnings.catch_warnings():
        # The newer exporter, which the warning recommends, needs another package and a later opset.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIDE, SIDE),),
            folder / "model.onnx",
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes={"pixel_values": {0: "batch"}, "logits": {0: "batch"}},
        )
    labels = [f"class {index}" for index in range(CLASSES)]
    config = {
        "architectures": ["ResNetForImageClassification"],
        "model_type": "resnet",
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    preprocessor = {
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    for name, content in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def main():
    for architecture in ARCHITECTURES:
        write(architecture, Path(sys.argv[1]) / architecture)


if __name__ == "__main__":
    main()
