"""Writes small synthetic images in many formats, the RGB values that Pillow decodes from each, and invalid files.

    python3 tests/data/decode/make.py

The committed files were written with Pillow 13.0.0; other versions may compress differently. Needs numpy.

NAME.rgb.png contains ImageOps.exif_transpose(image).convert("RGB") of the file NAME. NAME.draft.png contains the image decoded
at a half, a quarter and an eighth of its size, as Image.draft does, one below the other. cases.csv has the size and the maximum
difference of a channel value that is allowed for a decoder. bad/expected.csv has the exception that Pillow raises
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
from PIL import ExifTags, Image, ImageDraw, ImageOps, PngImagePlugin, TiffImagePlugin

import tiff_variants

HERE = Path(__file__).resolve().parent
SIZE = (37, 29)
SMALL = (24, 17)

EXACT = 0

GRAY, RGB, INDEXED, GRAY_ALPHA = 0, 2, 3, 4  # colour types of a PNG header
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


def float_orientation(value):
    """EXIF data in which the orientation is a floating-point number."""
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIfI", 8, 1, ExifTags.Base.Orientation, 11, 1, value, 0)


def xmp(value):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><x tiff:Orientation="{value}"/></x:xmpmeta>'.encode()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(size, depth, colour, scanlines, interlaced=False, extra=b""):
    """A file with `extra` chunks before the pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    pixels = png_chunk(b"IDAT", zlib.compress(scanlines, 9))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + pixels + png_chunk(b"IEND", b"")


def png_scanlines(samples):
    return b"".join(b"\0" + row.tobytes() for row in samples)  # 0: no filter


def png_16_bit(samples, colour, extra=b""):
    """Encodes 16-bit samples, which Pillow writes for grayscale only."""
    height, width = samples.shape[:2]
    return png_file((width, height), 16, colour, png_scanlines(samples.astype(">u2")), extra=extra)


def png_adam7(image):
    """Encodes an interlaced file, which Pillow reads but does not write."""
    samples = np.asarray(image)
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    return png_file(image.size, 8, RGB, b"".join(map(png_scanlines, passes)), interlaced=True)


def png_wrong_crc(data, kind):
    """Changes the last byte of the checksum before a chunk."""
    crc = data.index(kind) - 5
    return data[:crc] + bytes([data[crc] ^ 0xFF]) + data[crc + 1 :]


def png_empty_chunks(data):
    """Adds chunks of pixels without content before and after the others, and bytes after the end."""
    empty = png_chunk(b"IDAT", b"")
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:start] + empty + data[start:end] + empty + data[end:] + b"other bytes"


def png_texts(**texts):
    """Text chunks of metadata: XMP, and EXIF data in the form of ImageMagick, which is compressed."""
    info = PngImagePlugin.PngInfo()
    if "xmp" in texts:
        info.add_itxt("XML:com.adobe.xmp", texts["xmp"].decode())
    if "profile" in texts:
        profile = texts["profile"].tobytes()
        info.add_text("Raw profile type exif", f"\nexif\n{len(profile):8}\n{profile.hex()}\n", zip=True)
    return info


def webp_with_prefix(data):
    """Adds the prefix of JPEG segments to the EXIF data, as some programs do."""
    start = data.index(b"EXIF")
    (length,) = struct.unpack_from("<I", data, start + 4)
    exif = b"Exif\0\0" + data[start + 8 : start + 8 + length].removeprefix(b"Exif\0\0")
    chunks = data[12:start] + b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def jpeg_ycck(image):
    """Stores YCbCr and K in a CMYK file and marks it as YCCK; Pillow itself writes CMYK without a colour transform."""
    *cmy, black = cmyk(image).split()
    ycc = Image.merge("RGB", cmy).convert("YCbCr").split()
    # Pillow writes inverted CMYK, as Adobe does. Only K stays inverted.
    stored = Image.merge("CMYK", [ImageOps.invert(channel) for channel in ycc] + [black])
    data = encode(stored, "JPEG", quality=90)
    transform = data.index(b"Adobe") + 11
    return data[:transform] + b"\2" + data[transform + 1 :]


def jpeg_with_adobe(data, transform):
    """Inserts an Adobe segment with a colour transform after the start marker."""
    return data[:2] + b"\xff\xee\0\x0eAdobe" + struct.pack(">HHHB", 100, 0, 0, transform) + data[2:]


def jpeg_with_sampling(data, size, luma):
    """Changes the size and the sampling factors of luma in the frame header; the blocks of a unit stay as many."""
    frame = data.index(b"\xff\xc0")
    width, height = size
    size = struct.pack(">HH", height, width)
    return data[: frame + 5] + size + data[frame + 9 : frame + 11] + bytes([luma]) + data[frame + 12 :]


def jpeg_with_equal_names(data):
    """Gives all three components the name 1, in the frame header and in the scan header."""
    data = bytearray(data)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for component in range(3):
        data[frame + 10 + 3 * component] = data[scan + 5 + 2 * component] = 1
    return bytes(data)


def jpeg_with_swapped_components(data):
    """Exchanges the chroma components in the scan header."""
    first, second = (data.index(b"\xff\xda") + 7 + 2 * component for component in range(2))
    return data[:first] + data[second : second + 2] + data[first : first + 2] + data[second + 2 :]


def jpeg_cases():
    yield from ((name, data, EXACT) for name, data in (*jpeg_files(), *jpeg_kinds()))


def jpeg_kinds():
    """Small images of chroma at borders, of all upsampling methods, and with contradicting colour segments."""
    small = synthetic_image(SMALL)
    jpeg = encode(small, "JPEG", quality=90, subsampling="4:4:4")
    yield "jpeg-jfif-adobe-0.jpg", jpeg_with_adobe(jpeg, 0)
    yield "jpeg-adobe-0.jpg", jpeg_with_adobe(jpeg[:2] + jpeg[20:], 0)
    tiny = synthetic_image((33, 18))
    for width, height in (1, 1), (4, 4), (5, 3), (33, 18):
        data = encode(tiny.crop((0, 0, width, height)), "JPEG", quality=95, subsampling="4:2:0")
        yield f"jpeg-420-{width}x{height}.jpg", data
    yield "jpeg-411.jpg", encode(tiny, "JPEG", quality=90, subsampling="4:1:1")
    four_two_two = encode(synthetic_image((48, 48)), "JPEG", quality=50, subsampling="4:2:2")
    yield "jpeg-440.jpg", jpeg_with_sampling(four_two_two, (47, 45), 0x12)
    wide = encode(synthetic_image((150, 41)), "JPEG", quality=60, subsampling="4:2:2")
    yield "jpeg-422-150x41.jpg", wide
    four_two_zero = encode(synthetic_image((32, 32)), "JPEG", quality=70, subsampling="4:2:0")
    yield "jpeg-411-61x15.jpg", jpeg_with_sampling(four_two_zero, (61, 15), 0x41)
    yield "jpeg-extended.jpg", jpeg.replace(b"\xff\xc0", b"\xff\xc1")
    yield "jpeg-equal-names.jpg", jpeg_with_equal_names(jpeg)
    yield "jpeg-gray-sampled.jpg", jpeg_with_sampling(encode(small.convert("L"), "JPEG", quality=90), SMALL, 0x22)
    restarts = encode(tiny, "JPEG", quality=90, subsampling="4:2:0", restart_marker_blocks=1)
    yield "jpeg-restart-420.jpg", restarts
    progressive = encode(tiny, "JPEG", quality=90, subsampling="4:2:2", progressive=True, restart_marker_blocks=1)
    yield "jpeg-progressive-restart.jpg", progressive
    yield "jpeg-progressive-gray.jpg", encode(small.convert("L"), "JPEG", quality=70, progressive=True)


def jpeg_files():
    image = synthetic_image(SIZE)
    yield "jpeg-444.jpg", encode(image, "JPEG", quality=90, subsampling="4:4:4")
    yield "jpeg-422.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:2")
    yield "jpeg-420.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:0")
    yield "jpeg-progressive.jpg", encode(image, "JPEG", quality=90, subsampling="4:4:4", progressive=True)
    yield "jpeg-progressive-420.jpg", encode(image, "JPEG", quality=90, subsampling="4:2:0", progressive=True)
    yield "jpeg-gray.jpg", encode(image.convert("L"), "JPEG", quality=90)
    yield "jpeg-rgb.jpg", encode(image, "JPEG", quality=90, keep_rgb=True)
    yield "jpeg-cmyk.jpg", encode(cmyk(image), "JPEG", quality=90)
    yield "jpeg-ycck.jpg", jpeg_ycck(image)
    restarts = encode(image, "JPEG", quality=90, subsampling="4:4:4", restart_marker_blocks=3)
    yield "jpeg-restart.jpg", restarts
    for value in range(1, 9):
        data = encode(synthetic_image(SMALL), "JPEG", quality=90, subsampling="4:4:4", exif=orientation(value))
        yield f"jpeg-exif-{value}.jpg", data
    small = synthetic_image(SMALL)
    yield "jpeg-xmp-6.jpg", encode(small, "JPEG", quality=90, subsampling="4:4:4", xmp=xmp(6))
    both = encode(small, "JPEG", quality=90, subsampling="4:4:4", exif=orientation(1), xmp=xmp(6))
    yield "jpeg-exif-1-xmp-6.jpg", both


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
    small = synthetic_image(SMALL)
    transparent = png_chunk(b"tRNS", b"\0\x64")
    gray_16 = png_16_bit(sixteen_bits(small.convert("L")), GRAY, transparent)
    yield "png-gray-16-transparent.png", gray_16, EXACT
    yield "png-wrong-crc.png", png_wrong_crc(encode(small, "PNG"), b"IEND"), EXACT
    yield "png-no-end.png", encode(small, "PNG")[:-16], EXACT  # without the last checksum and the last chunk
    yield "png-empty-chunks.png", png_empty_chunks(encode(small, "PNG")), EXACT
    indices = np.asarray(small.quantize(16))
    palette = png_chunk(b"PLTE", bytes(range(100, 130)))
    yield "png-short-palette.png", png_file(SMALL, 8, INDEXED, png_scanlines(indices), extra=palette), EXACT
    yield "png-no-palette.png", png_file((5, 2), 8, INDEXED, png_scanlines(indices[:2, :5])), EXACT
    yield "png-exif-float-6.png", encode(small, "PNG", exif=float_orientation(6)), EXACT
    yield "png-exif-6.png", encode(small, "PNG", exif=orientation(6)), EXACT
    yield "png-xmp-8.png", encode(small, "PNG", pnginfo=png_texts(xmp=xmp(8))), EXACT
    yield "png-profile-5.png", encode(small, "PNG", pnginfo=png_texts(profile=orientation(5), xmp=xmp(6))), EXACT


def webp_chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_animation(frame, size, position, **options):
    """Encodes an animation whose frames are smaller than the canvas; Pillow writes those only for frames that follow."""
    still = encode(frame, "WEBP", **options)[12:]
    # An extended file has a chunk before those of the image.
    if still.startswith(b"VP8X"):
        still = still[18:]

    def numbers(*values):
        return b"".join(value.to_bytes(3, "little") for value in values)

    header = numbers(position[0] // 2, position[1] // 2, frame.width - 1, frame.height - 1, 100)
    frames = webp_chunk(b"ANMF", header + b"\0" + still) * 2
    canvas = webp_chunk(b"VP8X", b"\x12\0\0\0" + numbers(size[0] - 1, size[1] - 1))
    background = webp_chunk(b"ANIM", bytes([10, 200, 30, 255, 0, 0]))
    return webp_chunk(b"RIFF", b"WEBP" + canvas + background + frames)


def webp_cases():
    image = synthetic_image(SIZE)
    yield "webp-lossy.webp", encode(image, "WEBP", quality=90), EXACT
    yield "webp-lossless.webp", encode(image, "WEBP", lossless=True), EXACT
    yield "webp-lossy-alpha.webp", encode(with_alpha(image), "WEBP", quality=90), EXACT
    small = synthetic_image(SMALL)
    exif_6 = encode(small, "WEBP", lossless=True, exif=orientation(6))
    yield "webp-exif-6.webp", exif_6, EXACT
    yield "webp-exif-6-prefix.webp", webp_with_prefix(exif_6), EXACT
    yield "webp-xmp-7.webp", encode(small, "WEBP", lossless=True, xmp=xmp(7)), EXACT
    frame = synthetic_image((13, 9))
    yield "webp-animated.webp", webp_animation(frame, SMALL, (4, 2), lossless=True), EXACT
    yield "webp-animated-alpha.webp", webp_animation(with_alpha(frame), SMALL, (4, 2), lossless=True, exact=True), EXACT
    yield "webp-animated-lossy.webp", webp_animation(with_alpha(frame), (13, 9), (0, 0), quality=80), EXACT


def gif_file(image, screen, position, transparent=None, palettes=(True, False)):
    """Encodes a frame on a screen of another size, with a palette for the file, for the frame, or without one."""
    data = encode(image, "GIF", interlace=False, optimize=False)
    size = data[10] & 7
    palette = data[13 : 13 + (6 << size)]
    pixels = data[data.index(b",", 13 + len(palette)) + 10 :]
    has_file_palette, has_frame_palette = palettes
    # That of the file has other colours if the frame has one.
    file_palette = palette[::-1] if has_frame_palette else palette
    parts = [b"GIF89a", struct.pack("<HHBBB", *screen, 0x80 * has_file_palette | size, 2, 0)]
    parts += [file_palette] * has_file_palette
    if transparent is not None:
        parts.append(bytes([0x21, 0xF9, 4, 1, 0, 0, transparent, 0]))
    parts.append(struct.pack("<BHHHHB", 0x2C, *position, *image.size, 0x80 * has_frame_palette | size))
    parts += [palette] * has_frame_palette
    return b"".join([*parts, pixels])


def gif_cases():
    palette = synthetic_image(SIZE).quantize(32)
    yield "gif-palette.gif", encode(palette, "GIF", interlace=False), EXACT
    yield "gif-interlaced.gif", encode(palette, "GIF", interlace=True), EXACT
    yield "gif-transparent.gif", encode(palette, "GIF", interlace=False, transparency=5), EXACT
    frame = synthetic_image((13, 9)).quantize(16)
    yield "gif-inset.gif", gif_file(frame, SMALL, (5, 4)), EXACT
    yield "gif-inset-transparent.gif", gif_file(frame, SMALL, (5, 4), transparent=3), EXACT
    yield "gif-frame-beyond-screen.gif", gif_file(frame, (10, 8), (3, 2)), EXACT
    yield "gif-no-screen.gif", gif_file(frame, (0, 0), (0, 0)), EXACT
    yield "gif-frame-palette.gif", gif_file(frame, SMALL, (1, 1), palettes=(True, True)), EXACT
    yield "gif-frame-palette-only.gif", gif_file(frame, (13, 9), (0, 0), palettes=(False, True)), EXACT
    yield "gif-no-palette.gif", gif_file(frame, SMALL, (1, 1), transparent=9, palettes=(False, False)), EXACT


def bmp(size, bits, rows, header_size=40, compression=0, extra=b"", palette=b"", gap=b"", top_down=False):
    """A BMP file of kinds that Pillow reads but does not write. `extra` follows the first 40 bytes of the header."""
    width, height = size
    pixels = b"".join(rows if top_down else reversed(rows))
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        height, colors = -height if top_down else height, len(palette) // 4
        sizes = (len(pixels), 0, 0, colors, 0)
        header = struct.pack("<IiiHHIIiiII", header_size, width, height, 1, bits, compression, *sizes)
        header += extra.ljust(header_size - 40, b"\0")
    start = 14 + len(header) + len(palette) + len(gap)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + palette + gap + pixels


def bmp_rows(samples):
    """The bytes of each row, padded to a multiple of 4."""
    return [row.tobytes() + b"\0" * (-len(row.tobytes()) % 4) for row in samples]


def bmp_rle(indices, four_bits):
    """Runs, and groups of single pixels; the rest of every third row is skipped."""
    rows = []
    for y, row in enumerate(indices.tolist()):
        data, x = bytearray(), 0
        end = len(row) - 5 if y % 3 == 0 else len(row)
        while x < end:
            count = min(4, end - x)
            group = row[x : x + count]
            if count < 3 or len(set(group)) == 1:
                count = next((k for k in range(1, count) if group[k] != group[0]), count)
                data += bytes([count, group[0] * 17 if four_bits else group[0]])
            elif four_bits:
                padded = group + [0] * (4 - count)
                data += bytes([0, count, padded[0] * 16 + padded[1], padded[2] * 16 + padded[3]])
            else:
                data += bytes([0, count, *group]) + b"\0" * (count % 2)
            x += count
        rows.append(bytes(data) + b"\0\0")
    rows[0] += b"\0\1"  # the last in the file
    return rows


def bmp_of_other_programs():
    image = synthetic_image(SMALL)
    samples = np.asarray(image)
    bgr = samples[..., ::-1]
    bgra = np.dstack([bgr, np.zeros(samples.shape[:2], np.uint8)])
    red, green, blue = (samples[..., channel].astype("<u2") for channel in range(3))
    rgb_555 = red >> 3 << 10 | green >> 3 << 5 | blue >> 3
    rgb_565 = red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    masks_565 = struct.pack("<4I", 0xF800, 0x7E0, 0x1F, 0)
    masks_rgba = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    indexed = image.quantize(16)
    indices = np.asarray(indexed)
    entries = np.array(indexed.getpalette("RGB")).reshape(-1, 3)[:16, ::-1].astype(np.uint8)
    palette = b"".join(entry.tobytes() + b"\0" for entry in entries)
    nibbles = indices[:, ::2] << 4 | indices[:, 1::2]
    yield "bmp-os2-1.bmp", bmp(SMALL, 4, bmp_rows(nibbles), 12, palette=entries.tobytes())
    yield "bmp-os2-2.bmp", bmp(SMALL, 24, bmp_rows(bgr), 64)
    yield "bmp-gap-top-down.bmp", bmp(SMALL, 8, bmp_rows(indices), palette=palette, gap=bytes(37), top_down=True)
    yield "bmp-32-bit.bmp", bmp(SMALL, 32, bmp_rows(bgra))
    yield "bmp-32-bit-masks.bmp", bmp(SMALL, 32, bmp_rows(bgra[..., [2, 1, 0, 3]]), 56, 3, masks_rgba)
    yield "bmp-16-bit-555.bmp", bmp(SMALL, 16, bmp_rows(rgb_555))
    yield "bmp-16-bit-565.bmp", bmp(SMALL, 16, bmp_rows(rgb_565), 40, 3, gap=masks_565[:12])
    yield "bmp-16-bit-565-v5.bmp", bmp(SMALL, 16, bmp_rows(rgb_565), 124, 3, masks_565)
    yield "bmp-rle-8.bmp", bmp(SMALL, 8, bmp_rle(indices, False), 40, 1, palette=palette)
    yield "bmp-rle-4.bmp", bmp(SMALL, 4, bmp_rle(indices, True), 40, 2, palette=palette)


def bmp_cases():
    image = synthetic_image(SIZE)
    yield "bmp-rgb.bmp", encode(image, "BMP"), EXACT
    yield "bmp-palette.bmp", encode(image.quantize(32), "BMP"), EXACT
    yield "bmp-1-bit.bmp", encode(image.convert("1"), "BMP"), EXACT
    for name, data in bmp_of_other_programs():
        yield name, data, EXACT


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
    yield "tiff-xmp-3.tif", encode(synthetic_image(SMALL), "TIFF", tiffinfo={700: xmp(3)}), EXACT
    yield "tiff-palette.tif", encode(image.quantize(32), "TIFF"), EXACT
    images = synthetic_image(tiff_variants.SIZE), synthetic_image(tiff_variants.JPEG_SIZE)
    for name, data in tiff_variants.cases(*images):
        yield name, data, EXACT


def half(data):
    return data[: len(data) // 2]


def jpeg_without_size(data):
    height = data.index(b"\xff\xc0") + 5
    return data[:height] + bytes(4) + data[height + 4 :]


def jpeg_wrong_restart(image):
    """Removes a restart interval, as a lost packet does; Pillow replaces it with gray."""
    data = encode(image, "JPEG", quality=90, subsampling="4:4:4", restart_marker_blocks=3)
    return data[: data.index(b"\xff\xd1")] + data[data.index(b"\xff\xd2") :]


def bad_files():
    image = synthetic_image(SIZE)
    jpeg = encode(image, "JPEG", quality=95, subsampling="4:4:4")
    png = encode(image, "PNG")
    yield "truncated.jpg", half(jpeg)
    yield "no-end-marker.jpg", jpeg[:-2]
    yield "no-size.jpg", jpeg_without_size(jpeg)
    yield "cut-scan.jpg", half(jpeg) + b"\xff\xd9"
    yield "cut-scan-progressive.jpg", encode(image, "JPEG", quality=90, progressive=True)[:-40] + b"\xff\xd9"
    yield "wrong-restart.jpg", jpeg_wrong_restart(image)
    yield "large-unit.jpg", jpeg_with_sampling(jpeg, SIZE, 0x44)
    yield "swapped-components.jpg", jpeg_with_swapped_components(jpeg)
    yield "no-size.gif", bytes.fromhex("47494638396100000000800000ffffff0000002c00000000000000000002024401003b")
    yield "no-frame-size.gif", bytes.fromhex("47494638396101000100800000ffffff0000002c00000000000001000002024401003b")
    yield "empty.jpg", b""
    yield "truncated.png", half(png)
    yield "wrong-crc.png", png_wrong_crc(png, b"IDAT")
    profile = png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(4 << 20), 9))
    yield "large-profile.png", png_file((1, 1), 8, RGB, bytes(4), extra=profile)
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x3F)
    yield "overlapping-masks.bmp", bmp((2, 1), 16, [bytes(4)], 40, 3, gap=masks)
    yield "bomb.png", png_file((60000, 60000), 8, RGB, bytes(64))
    yield "truncated.webp", half(encode(image, "WEBP", quality=90))
    yield "truncated.gif", half(encode(image.quantize(32), "GIF"))
    yield "truncated.bmp", half(encode(image, "BMP"))
    yield "truncated.tif", half(encode(image, "TIFF"))
    yield "cut-scan.tif", tiff_variants.jpeg_file_with_cut_strip(synthetic_image(tiff_variants.JPEG_SIZE))
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


def at_scale(path, scale):
    """What load() returns after draft() selects a scale, which it only does for images that are large enough."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        size = tuple(-(-side // scale) for side in image.size)
        image.tile = [image.tile[0]._replace(extents=(0, 0, *size))]
        image._size, image.decoderconfig = size, (scale, 0)
        return image.convert("RGB")


def write_drafts(path):
    images = [at_scale(path, scale) for scale in (2, 4, 8)]
    joined = Image.new("RGB", (images[0].width, sum(image.height for image in images)))
    top = 0
    for image in images:
        joined.paste(image, (0, top))
        top += image.height
    joined.save(f"{path}.draft.png", optimize=True)


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
            if name.endswith(".jpg") and "exif" not in name and "xmp" not in name:
                write_drafts(path)
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
