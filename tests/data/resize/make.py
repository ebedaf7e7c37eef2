"""Writes images resized by Pillow, the expected results of the resize tests: python3 tests/data/resize/make.py

The committed files were written with Pillow 13.0.0. NAME.WIDTHxHEIGHT.FILTER.png is examples/data/photos/NAME.png at that size.
"""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PHOTOS = HERE.parent.parent.parent / "examples" / "data" / "photos"
# Both axes, different scales per axis, a single column; and for each image, only the height.
SIZES = {"horse": [(32, 32), (130, 101), (64, 5), (1, 40)], "schooner": [(32, 32), (17, 90)]}
FILTERS = ["NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"]
# A different scale per axis, for each filter.
FILTER_SIZE = (131, 29)
# Sizes for which Pillow 13 reduces the height first, for each filter.
VERTICAL_FIRST = [(350, 12), (364, 9)]


def main():
    for name, sizes in SIZES.items():
        image = Image.open(PHOTOS / f"{name}.png").convert("RGB")
        for size in sizes + [(image.width, 20)]:
            save(image, name, size, Image.Resampling.BILINEAR)
        for resample in FILTERS:
            save(image, name, FILTER_SIZE, Image.Resampling[resample])
    horse = Image.open(PHOTOS / "horse.png").convert("RGB")
    for size in VERTICAL_FIRST:
        for resample in FILTERS[1:]:
            save(horse, "horse", size, Image.Resampling[resample])


def save(image, name, size, resample):
    resized = image.resize(size, resample)
    resized.save(HERE / f"{name}.{size[0]}x{size[1]}.{resample.name.lower()}.png", optimize=True)


if __name__ == "__main__":
    main()
