"""Prints the hashes that Python's imagehash computes for the example images: python3 tests/data/image_hash.py

The expected values of tests/slt/functions/image_hash.slt were computed with imagehash 4.3.2 and Pillow 13.0.0.
"""

from pathlib import Path

import imagehash
from PIL import Image

PHOTOS = Path(__file__).parent.parent.parent / "examples" / "data" / "photos"


def main():
    for path in sorted(PHOTOS.iterdir()):
        image = Image.open(path)
        print(f"photos/{path.name} {imagehash.phash(image)} {imagehash.dhash(image)}")


if __name__ == "__main__":
    main()
