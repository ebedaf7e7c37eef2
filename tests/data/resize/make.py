"""Writes pictures as Pillow resizes them, to compare ours with: python3 tests/data/resize/make.py

The committed files are of Pillow 13.0.0. NAME.WIDTHxHEIGHT.FILTER.png is examples/data/photos/NAME.png at that size.
"""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
PHOTOS = HERE.parent.parent.parent / "examples" / "data" / "photos"
# Smaller, larger, squeezed in one direction only, a single column, and rows alone.
SIZES = {"horse": [(32, 32), (130, 101), (64, 5), (1, 40)], "schooner": [(32, 32), (17, 90)]}
FILTERS = ["NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"]
# One direction larger, the other smaller.
OTHERS = (131, 29)


def main():
    for name, sizes in SIZES.items():
        picture = Image.open(PHOTOS / f"{name}.png").convert("RGB")
        for size in sizes + [(picture.width, 20)]:
            save(picture, name, size, Image.Resampling.BILINEAR)
        for resample in FILTERS:
            save(picture, name, OTHERS, Image.Resampling[resample])


def save(picture, name, size, resample):
    resized = picture.resize(size, resample)
    resized.save(HERE / f"{name}.{size[0]}x{size[1]}.{resample.name.lower()}.png", optimize=True)


if __name__ == "__main__":
    main()
