"""Writes small synthetic images in many formats, the RGB values that Pillow decodes from each, and invalid files.

    python3 tests/data/decode/make.py

The committed files were written with Pillow 13.0.0; other versions may compress differently. Needs numpy.

NAME.rgb.png contains ImageOps.exif_transpose(image).convert("RGB") of the file NAME. cases.csv has its size and the
maximum difference of a channel value that is allowed for a decoder. bad/expected.csv has the exception that Pillow raises
for each file of bad/; if it is empty, Pillow decodes the file, and its RGB values are in a .rgb.png in the same folder.
"""

import csv
import io
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageOps, TiffImagePlugin

import tiff_variants

HERE = Path(__file__).resolve().parent
SIZE = (37, 29)
SMALL = (24, 17)

# The JPEG standard specifies neither the rounding of a decoder nor the interpolation of subsampled chroma.
EXACT = 0
JPEG = 3

GRAY, RGB, GRAY_ALPHA = 0, 2, 4  # colour types of a PNG header
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def synthetic_image(size):
    """Gradients, three shapes and low noise, without symmetry, so that all orientations differ."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    red = 255 * x // (width - 1)
    green = 255 * y // (height - 1)
    blue = 255 - 255 * (x + y) // (width + height - 2)
    image = Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((2, 2, width // 2, height // 2), fill=(240, 60, 20))
    draw.rectangle((width * 2 // 3, 3, width - 3, height // 3), fill=(20, 40, 200))
    draw.line((3, height - 4, width - 6, height * 2 // 3), fill=(250, 250, 240), width=2)
    noise = np.random.default_rng(7).integers(-5, 6, (height, width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def alpha(size):
    """Vertical bands from transparent to opaque."""
    bands = np.array([0, 1, 64, 128, 200, 255], dtype=np.uint8)
    width, height = size
    return Image.fromarray(np.tile(bands[np.arange(width) * len(bands) // width], (height, 1)))


def with_alpha(image):
    image = image.copy()
    image.putalpha(alpha(image.size))
    return image


def cmyk(image):
    """CMYK with values in all four channels; Pillow's own conversion sets K to 0."""
    cyan, magenta, yellow, _ = image.convert("CMYK").split()
    return Image.merge("CMYK", (cyan, magenta, yellow, image.convert("L").point(lambda value: value // 2)))


def sixteen_bits(image):
    """Samples of 16 bits, whose low bytes differ from the high ones; the top rows have values around 256."""
    high = np.asarray(image).astype(np.uint16)
    samples = high * 256 + np.random.default_rng(11).integers(0, 256, high.shape, dtype=np.uint16)
    samples[:3] //= 100
    return samples


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def orientation(value):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return exif


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(size, depth, colour, scanlines, interlaced=False):
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(scanlines, 9)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_scanlines(samples):
    return b"".join(b"\0" + row.tobytes() for row in samples)  # 0: no filter


def png_16_bit(samples, colour):
    """Encodes 16-bit samples, which Pillow writes for grayscale only."""
    height, width = samples.shape[:2]
    return png_file((width, height), 16, colour, png_scanlines(samples.astype(">u2")))


def png_adam7(image):
    """Encodes an interlaced file, which Pillow reads but does not write."""
    samples = np.asarray(image)
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    return png_file(image.size, 8, RGB, b"".join(map(png_scanlines, passes)), interlaced=True)


def jpeg_ycck(image):
    """Stores YCbCr and K in a CMYK file and marks it as YCCK; Pillow itself writes CMYK without a colour transform."""
    *cmy, black = cmyk(image).split()
    ycc = Image.merge("RGB", cmy).convert("YCbCr").split()
    # Pillow writes inverted CMYK, as Adobe does. Only K stays inverted.
    stored = Image.merge("CMYK", [ImageOps.invert(channel) for channel in ycc] + [black])
    data = encode(stored, "JPEG", quality=90)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\2" + data[transform + 1 :]


def jpeg_cases():
    image = synthetic_image(SIZE)
    yield "jpeg-444.jpg", encode(image, "JPEG", quality=90, subsampling="4:4:4"), JPEG
    yield "jpeg-422.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:2"), JPEG
    yield "jpeg-420.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:0"), JPEG
    yield "jpeg-progressive.jpg", encode(image, "JPEG", quality=90, subsampling="4:4:4", progressive=True), JPEG
    yield "jpeg-progressive-420.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:0", progressive=True), JPEG
    yield "jpeg-gray.jpg", encode(image.convert("L"), "JPEG", quality=90), JPEG
    yield "jpeg-rgb.jpg", encode(image, "JPEG", quality=90, keep_rgb=True), JPEG
    yield "jpeg-cmyk.jpg", encode(cmyk(image), "JPEG", quality=90), JPEG
    yield "jpeg-ycck.jpg", jpeg_ycck(image), JPEG
    restarts = encode(image, "JPEG", quality=90, subsampling="4:4:4", restart_marker_blocks=3)
    yield "jpeg-restart.jpg", restarts, JPEG
    for value in range(1, 9):
        data = encode(synthetic_image(SMALL), "JPEG", quality=90, subsampling="4:4:4", exif=orientation(value))
        yield f"jpeg-exif-{value}.jpg", data, JPEG


def png_cases():
    image = synthetic_image(SIZE)
    palette = image.quantize(32)
    yield "png-rgb.png", encode(image, "PNG"), EXACT
    yield "png-rgba.png", encode(with_alpha(image), "PNG"), EXACT
    yield "png-gray.png", encode(image.convert("L"), "PNG"), EXACT
    yield "png-gray-alpha.png", encode(with_alpha(image.convert("L")), "PNG"), EXACT
    yield "png-palette.png", encode(palette, "PNG"), EXACT
    yield "png-palette-alpha.png", encode(palette, "PNG", transparency=bytes(range(0, 256, 16))), EXACT
    yield "png-1-bit.png", encode(image.convert("1"), "PNG"), EXACT
    yield "png-gray-16.png", png_16_bit(sixteen_bits(image.convert("L")), GRAY), EXACT
    yield "png-rgb-16.png", png_16_bit(sixteen_bits(image), RGB), EXACT
    yield "png-gray-alpha-16.png", png_16_bit(sixteen_bits(with_alpha(image.convert("L"))), GRAY_ALPHA), EXACT
    yield "png-interlaced.png", png_adam7(image), EXACT
    yield "png-exif-6.png", encode(synthetic_image(SMALL), "PNG", exif=orientation(6)), EXACT


def webp_cases():
    image = synthetic_image(SIZE)
    yield "webp-lossy.webp", encode(image, "WEBP", quality=90), EXACT
    yield "webp-lossless.webp", encode(image, "WEBP", lossless=True), EXACT
    yield "webp-lossy-alpha.webp", encode(with_alpha(image), "WEBP", quality=90), EXACT
    yield "webp-exif-6.webp", encode(synthetic_image(SMALL), "WEBP", lossless=True, exif=orientation(6)), EXACT


def gif_cases():
    palette = synthetic_image(SIZE).quantize(32)
    yield "gif-palette.gif", encode(palette, "GIF", interlace=False), EXACT
    yield "gif-interlaced.gif", encode(palette, "GIF", interlace=True), EXACT
    yield "gif-transparent.gif", encode(palette, "GIF", interlace=False, transparency=5), EXACT


def bmp_cases():
    image = synthetic_image(SIZE)
    yield "bmp-rgb.bmp", encode(image, "BMP"), EXACT
    yield "bmp-palette.bmp", encode(image.quantize(32), "BMP"), EXACT
    yield "bmp-1-bit.bmp", encode(image.convert("1"), "BMP"), EXACT


def tiff_cases():
    image = synthetic_image(SIZE)
    gray = image.convert("L")
    white_is_zero = {TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0}
    differences = {TiffImagePlugin.PREDICTOR: 2}
    yield "tiff-rgb.tif", encode(image, "TIFF"), EXACT
    yield "tiff-gray.tif", encode(gray, "TIFF"), EXACT
    yield "tiff-gray-white-is-zero.tif", encode(gray, "TIFF", tiffinfo=white_is_zero), EXACT
    yield "tiff-1-bit.tif", encode(image.convert("1"), "TIFF"), EXACT
    yield "tiff-1-bit-white-is-zero.tif", encode(image.convert("1"), "TIFF", tiffinfo=white_is_zero), EXACT
    yield "tiff-cmyk.tif", encode(cmyk(image), "TIFF"), EXACT
    yield "tiff-gray-16.tif", encode(Image.fromarray(sixteen_bits(gray)), "TIFF"), EXACT
    yield "tiff-lzw.tif", encode(image, "TIFF", compression="tiff_lzw"), EXACT
    yield "tiff-lzw-predictor.tif", encode(image, "TIFF", compression="tiff_lzw", tiffinfo=differences), EXACT
    yield "tiff-deflate.tif", encode(image, "TIFF", compression="tiff_adobe_deflate"), EXACT
    yield "tiff-exif-6.tif", encode(synthetic_image(SMALL), "TIFF", exif=orientation(6)), EXACT
    yield "tiff-palette.tif", encode(image.quantize(32), "TIFF"), EXACT
    images = synthetic_image(tiff_variants.SIZE), synthetic_image(tiff_variants.JPEG_SIZE)
    for name, data in tiff_variants.cases(*images):
        yield name, data, JPEG if "jpeg" in name else EXACT


def half(data):
    return data[: len(data) // 2]


def jpeg_without_size(data):
    height = data.index(b"\xff\xc0") + 5
    return data[:height] + bytes(4) + data[height + 4 :]


def png_wrong_crc(data):
    """Changes the last byte of the checksum before the IEND chunk."""
    crc = data.index(b"IEND") - 5
    return data[:crc] + bytes([data[crc] ^ 0xFF]) + data[crc + 1 :]


def bad_files():
    image = synthetic_image(SIZE)
    jpeg = encode(image, "JPEG", quality=95, subsampling="4:4:4")
    png = encode(image, "PNG")
    yield "truncated.jpg", half(jpeg)
    yield "no-end-marker.jpg", jpeg[:-2]
    yield "no-size.jpg", jpeg_without_size(jpeg)
    yield "no-size.gif", bytes.fromhex("47494638396100000000800000ffffff0000002c00000000010001000002024401003b")
    yield "empty.jpg", b""
    yield "truncated.png", half(png)
    yield "wrong-crc.png", png_wrong_crc(png)
    yield "bomb.png", png_file((60000, 60000), 8, RGB, bytes(64))
    yield "truncated.webp", half(encode(image, "WEBP", quality=90))
    yield "truncated.gif", half(encode(image.quantize(32), "GIF"))
    yield "truncated.bmp", half(encode(image, "BMP"))
    yield "truncated.tif", half(encode(image, "TIFF"))
    yield "notes.txt", b"These are notes, not an image.\n"
    yield "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="8" height="8"/></svg>\n'


def as_rgb(path):
    # From bytes, so that no message of Pillow contains the path.
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def write_rgb(path):
    image = as_rgb(path)
    image.info.clear()  # otherwise a transparent colour would be saved, too
    image.save(f"{path}.rgb.png", optimize=True)
    return image.size


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_cases():
    rows = []
    for cases in (jpeg_cases, png_cases, webp_cases, gif_cases, bmp_cases, tiff_cases):
        for name, data, max_difference in cases():
            path = HERE / name
            path.write_bytes(data)
            rows.append([name, *write_rgb(path), max_difference])
    write_csv(HERE / "cases.csv", ["file", "width", "height", "max_difference"], rows)
    return len(rows)


def failure(path):
    """Pillow's exception as one line; empty if Pillow decodes the file, whose RGB values are then written."""
    try:
        write_rgb(path)
        return ""
    except Exception as error:
        message = re.sub(r"<_io\.BytesIO object at \w+>", "…", str(error))
        return " ".join(f"{type(error).__name__}: {message}".split())


def write_bad():
    (HERE / "bad").mkdir(exist_ok=True)
    rows = []
    for name, data in bad_files():
        path = HERE / "bad" / name
        path.write_bytes(data)
        rows.append([name, failure(path)])
    write_csv(HERE / "bad" / "expected.csv", ["file", "pillow"], rows)
    return len(rows)


if __name__ == "__main__":
    # Pillow warns that convert("RGB") drops the transparency of a palette, which is the behaviour that these files test.
    warnings.simplefilter("ignore")
    print(f"wrote {write_cases()} cases and {write_bad()} invalid files")
