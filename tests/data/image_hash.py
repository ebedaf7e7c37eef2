"""Prints the hashes that Python's imagehash gives for the example pictures: python3 tests/data/image_hash.py

What tests/slt/functions/image_hash.slt expects is of imagehash 4.3.2 and Pillow 13.0.0.
"""

from pathlib import Path

import imagehash
from PIL import Image

PHOTOS = Path(__file__).parent.parent.parent / "examples" / "data" / "photos"


def main():
    for path in sorted(PHOTOS.iterdir()):
        picture = Image.open(path)
        print(f"photos/{path.name} {imagehash.phash(picture)} {imagehash.dhash(picture)}")


if __name__ == "__main__":
    main()
