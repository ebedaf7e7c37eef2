"""Decodes and resizes the example JPEGs with Pillow on one core, and prints images/s: python3 benches/peers/decode.py"""

import io
import time
from pathlib import Path

from PIL import Image

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "data" / "photos"
ROUNDS = 11


def median_rate(job, items):
    job()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return items / sorted(times)[ROUNDS // 2]


def main():
    files = [path.read_bytes() for path in sorted(PHOTOS.glob("*.jpg"))]

    def decode():
        return [Image.open(io.BytesIO(data)).convert("RGB") for data in files]

    def resized(side):
        return [image.resize((side, side), Image.Resampling.BILINEAR) for image in decode()]

    images = decode()
    print(f"decode JPEGs: {median_rate(decode, len(files)):.1f} images/s")
    for side in (32, 224):
        print(f"decode and resize to {side} x {side}: {median_rate(lambda: resized(side), len(files)):.1f} images/s")
    for side in (32, 224):
        rate = median_rate(lambda: [p.resize((side, side), Image.Resampling.BILINEAR) for p in images], len(files))
        print(f"resize to {side} x {side}: {rate:.1f} images/s")


if __name__ == "__main__":
    main()
