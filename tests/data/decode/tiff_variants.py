"""Small TIFF files of the kinds that Pillow reads, most of which it does not write. Used by make.py.

Files are assembled from their fields and their strips or tiles, which are compressed with the standard library.
"""

import io
import lzma
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

SIZE = (23, 17)
JPEG_SIZE = (48, 32)

# Fields.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIPS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANES, PREDICTOR = 273, 277, 278, 279, 284, 317
COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, EXTRA, FORMAT = 320, 322, 323, 324, 325, 338, 339
JPEG_TABLES, COEFFICIENTS, SUBSAMPLING, RANGE = 347, 529, 530, 532

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
NONE, JPEG, DEFLATE, PACK_BITS, LZMA, ZSTD = 1, 7, 8, 32773, 34925, 50000
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2


def pack_bits(data):
    """Runs of three and more equal bytes, other bytes one by one."""
    packed, start = bytearray(), 0
    while start < len(data):
        run = 1
        while run < 128 and data[start + run : start + run + 1] == data[start : start + 1]:
            run += 1
        packed += bytes([257 - run if run > 2 else 0, data[start]])
        start += run if run > 2 else 1
    return bytes(packed)


COMPRESS = {NONE: bytes, JPEG: bytes, DEFLATE: zlib.compress, PACK_BITS: pack_bits, LZMA: lzma.compress}


def tiff_file(fields, chunks, tiled=False, order="<", big=False):
    """A file with one directory. Values are lists of integers; pairs of integers are rationals; or bytes."""
    number, inline = ("Q", 8) if big else ("I", 4)
    file = bytearray({"<": b"II", ">": b"MM"}[order])
    file += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))

    def append(data):
        file.extend(data + bytes(len(data) % 2))
        return len(file) - len(data) - len(data) % 2

    offsets = [append(COMPRESS[fields[COMPRESSION][0]](chunk)) for chunk in chunks]
    sizes = [len(COMPRESS[fields[COMPRESSION][0]](chunk)) for chunk in chunks]
    fields = {**fields, (TILES if tiled else STRIPS): offsets, (TILE_BYTES if tiled else STRIP_BYTES): sizes}
    entries = b""
    for tag, values in sorted(fields.items()):
        if isinstance(values, bytes):
            kind, data = 7, values
        elif isinstance(values[0], tuple):
            kind, data = 5, b"".join(struct.pack(order + "II", *value) for value in values)
        elif tag in (STRIPS, TILES, STRIP_BYTES, TILE_BYTES):
            kind, data = (16 if big else 4), struct.pack(f"{order}{len(values)}{number}", *values)
        else:
            kind, data = 3, struct.pack(f"{order}{len(values)}H", *values)
        if len(data) > inline:
            data = struct.pack(order + number, append(data))
        entries += struct.pack(order + "HH" + number, tag, kind, len(values)) + data.ljust(inline, b"\0")
    directory = struct.pack(order + ("Q" if big else "H"), len(fields)) + entries + bytes(inline)
    offset = append(directory)
    file[inline : 2 * inline] = struct.pack(order + number, offset)
    return bytes(file)


def packed(values, bits):
    """Rows of samples of fewer bits, each row from the start of a byte."""
    places = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(len(values), -1).astype(np.uint8), axis=1)


def differences(samples):
    """Predictor 2."""
    return np.concatenate([samples[:, :1], samples[:, 1:] - samples[:, :-1]], axis=1)


def float_differences(samples):
    """Predictor 3: the high bytes of a row first, then the differences of bytes."""
    height = len(samples)
    rows = samples.astype(">f4").view(np.uint8).reshape(height, -1, 4).transpose(0, 2, 1).reshape(height, -1)
    return differences(rows)


def file_of(samples, photometric, fields=(), rows=None, order="<", data=None, **options):
    """A file of samples of shape [height, width, samples], in strips of `rows`; `data` has the rows as stored."""
    height, width, count = samples.shape
    rows = rows or height
    stored = samples if data is None else data
    stored = stored.astype(stored.dtype.newbyteorder(order))
    basic = {WIDTH: [width], HEIGHT: [height], BITS: [samples.dtype.itemsize * 8] * count, COMPRESSION: [NONE]}
    basic |= {PHOTOMETRIC: [photometric], SAMPLES: [count], ROWS_PER_STRIP: [rows]}
    strips = [stored[start : start + rows].tobytes() for start in range(0, height, rows)]
    return tiff_file(basic | dict(fields), strips, order=order, **options)


def planes_of(samples, photometric, fields=(), predictor=lambda samples: samples, order="<"):
    """A file with a strip for each sample."""
    height, width, count = samples.shape
    basic = {WIDTH: [width], HEIGHT: [height], BITS: [samples.dtype.itemsize * 8] * count, COMPRESSION: [NONE]}
    basic |= {PHOTOMETRIC: [photometric], SAMPLES: [count], ROWS_PER_STRIP: [height], PLANES: [2]}
    stored = [predictor(samples[:, :, index]) for index in range(count)]
    strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in stored]
    return tiff_file(basic | dict(fields), strips, order=order)


def tiles_of(samples, photometric, fields=(), side=16, planes=False, predictor=lambda samples: samples):
    """A file of square tiles."""
    height, width, count = samples.shape
    padded = np.pad(samples, ((0, -height % side), (0, -width % side), (0, 0)))
    groups = [[index] for index in range(count)] if planes else [list(range(count))]
    tiles = [
        predictor(padded[y : y + side, x : x + side, group]).tobytes()
        for group in groups
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]
    basic = {WIDTH: [width], HEIGHT: [height], BITS: [8] * count, COMPRESSION: [NONE], PHOTOMETRIC: [photometric]}
    basic |= {SAMPLES: [count], TILE_WIDTH: [side], TILE_HEIGHT: [side], PLANES: [2 if planes else 1]}
    return tiff_file(basic | dict(fields), tiles, tiled=True)


def few_bits(values, bits, photometric, fields=(), order="<"):
    """A file of one sample of fewer bits per pixel."""
    height, width = values.shape
    basic = {WIDTH: [width], HEIGHT: [height], BITS: [bits], COMPRESSION: [NONE], PHOTOMETRIC: [photometric]}
    basic |= {SAMPLES: [1], ROWS_PER_STRIP: [height]}
    return tiff_file(basic | dict(fields), [packed(values, bits).tobytes()], order=order)


def ycbcr_blocks(samples, horizontal, vertical, fields=()):
    """A file of subsampled YCbCr: the luma of each block, then its chroma."""
    height, width, _ = samples.shape
    padded = np.pad(samples, ((0, -height % vertical), (0, -width % horizontal), (0, 0)), mode="edge")
    data = bytearray()
    for y in range(0, height, vertical):
        for x in range(0, width, horizontal):
            data += padded[y : y + vertical, x : x + horizontal, 0].tobytes() + padded[y, x, 1:].tobytes()
    basic = {WIDTH: [width], HEIGHT: [height], BITS: [8] * 3, COMPRESSION: [DEFLATE], PHOTOMETRIC: [YCBCR]}
    basic |= {SAMPLES: [3], ROWS_PER_STRIP: [height], SUBSAMPLING: [horizontal, vertical]}
    return tiff_file(basic | dict(fields), [bytes(data)])


def jpeg_streams(image, rows, **options):
    """A JPEG file for each strip."""
    for top in range(0, image.height, rows):
        file = io.BytesIO()
        image.crop((0, top, image.width, min(top + rows, image.height))).save(file, "JPEG", quality=80, **options)
        yield file.getvalue()


def without_tables(stream):
    """The tables of a JPEG file, and the file without them and without application segments."""
    tables, rest, start = b"", b"", 2
    while stream[start + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", stream, start + 2)
        segment = stream[start : start + 2 + length]
        if stream[start + 1] in (0xDB, 0xC4):
            tables += segment
        elif stream[start + 1] < 0xE0:
            rest += segment
        start += len(segment)
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + stream[start:]


def jpeg_file(image, streams, photometric, fields=(), tiled=False):
    """A file of JPEG streams, one for each strip of 16 rows, or tile."""
    samples = len(image.getbands())
    basic = {WIDTH: [image.width], HEIGHT: [image.height], BITS: [8] * samples, COMPRESSION: [JPEG]}
    basic |= {PHOTOMETRIC: [photometric], SAMPLES: [samples]}
    basic |= {TILE_WIDTH: [32], TILE_HEIGHT: [32]} if tiled else {ROWS_PER_STRIP: [16]}
    return tiff_file(basic | dict(fields), list(streams), tiled=tiled)


def jpeg_file_with_cut_strip(image):
    """Half of the second strip; Pillow fills the rest with gray."""
    streams = list(jpeg_streams(image, 16, subsampling="4:2:0"))
    streams[1] = streams[1][: len(streams[1]) * 3 // 4]
    return jpeg_file(image, streams, YCBCR, [(SUBSAMPLING, [2, 2])])


def jpeg_cases(image):
    """Subsampled chroma in strips and tiles, shared tables, and samples that are not converted."""
    image = image.crop((0, 0, 45, 29))
    for subsampling, factors in (("4:2:0", [2, 2]), ("4:2:2", [2, 1])):
        streams = list(map(without_tables, jpeg_streams(image, 16, subsampling=subsampling)))
        fields = [(SUBSAMPLING, factors), (JPEG_TABLES, streams[0][0])]
        name = subsampling.replace(":", "")
        yield f"tiff-jpeg-{name}.tif", jpeg_file(image, [stream for _, stream in streams], YCBCR, fields)
    # libtiff reads the factors from the data where the field is absent.
    yield "tiff-jpeg-progressive.tif", jpeg_file(image, jpeg_streams(image, 16, progressive=True), YCBCR)
    complete = Image.new("RGB", (64, 32))
    complete.paste(image)
    tiles = [stream for x in (0, 32) for stream in jpeg_streams(complete.crop((x, 0, x + 32, 32)), 32)]
    yield "tiff-jpeg-tiles.tif", jpeg_file(image, tiles, YCBCR, [(SUBSAMPLING, [2, 2])], tiled=True)
    # The segment JFIF declares YCbCr, the file RGB.
    yield "tiff-jpeg-rgb.tif", jpeg_file(image, jpeg_streams(image, 16, subsampling="4:4:4"), RGB)
    planes = [stream for plane in image.split() for stream in jpeg_streams(plane, 16)]
    yield "tiff-jpeg-planes.tif", jpeg_file(image, planes, RGB, [(PLANES, [2])])


def color_map(bits):
    return np.random.default_rng(5).integers(0, 65536, 3 << bits).tolist()


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "TIFF", **options)
    return file.getvalue()


def with_low_bytes(samples):
    """Samples of 16 bits, whose low bytes differ from the high ones."""
    low = np.random.default_rng(11).integers(0, 256, samples.shape, dtype=np.uint16)
    return samples.astype(np.uint16) * 256 + low


def cases(image, jpeg_image):
    """Names and contents, of an RGB image of SIZE. Names with "jpeg" are of `jpeg_image`."""
    rgb = np.asarray(image)
    gray = np.asarray(image.convert("L"))[:, :, None]
    alpha = np.tile((np.arange(SIZE[0]) * 12 % 256).astype(np.uint8), (SIZE[1], 1))[:, :, None]
    rgba, ink = np.dstack([rgb, alpha]), np.dstack([255 - rgb, gray // 2])
    bilevel, ycbcr, lab = image.convert("1"), image.convert("YCbCr"), image.convert("LAB")
    deflate, predictor = (COMPRESSION, [DEFLATE]), (PREDICTOR, [2])
    premultiplied, straight = (EXTRA, [PREMULTIPLIED]), (EXTRA, [STRAIGHT])

    for name in ("packbits", "lzma", "zstd"):
        yield f"tiff-{name}.tif", saved(image, compression=name)
    yield "tiff-lzma-predictor.tif", file_of(rgb, RGB, [(COMPRESSION, [LZMA]), predictor], data=differences(rgb))
    yield "tiff-ccitt.tif", saved(bilevel, compression="tiff_ccitt")
    yield "tiff-group3.tif", saved(bilevel, compression="group3")
    yield "tiff-group3-2d.tif", saved(bilevel, compression="group3", tiffinfo={292: 5})
    yield "tiff-group4.tif", saved(bilevel, compression="group4")
    reversed_bits = {FILL_ORDER: 2, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: 0}
    yield "tiff-group4-reversed.tif", saved(bilevel, compression="group4", tiffinfo=reversed_bits)

    yield "tiff-gray-2.tif", few_bits(gray[:, :, 0] >> 6, 2, BLACK_IS_ZERO)
    yield "tiff-gray-4.tif", few_bits(gray[:, :, 0] >> 4, 4, BLACK_IS_ZERO, order=">")
    yield "tiff-gray-4-white-is-zero.tif", few_bits(gray[:, :, 0] >> 4, 4, WHITE_IS_ZERO)
    yield "tiff-gray-4-reversed.tif", few_bits(gray[:, :, 0] >> 4, 4, BLACK_IS_ZERO, [(FILL_ORDER, [2])])
    yield "tiff-gray-12.tif", few_bits(gray[:, :, 0].astype(np.uint16) * 3, 12, BLACK_IS_ZERO)
    yield "tiff-gray-16-big-endian.tif", file_of(gray.astype(np.uint16) * 3, BLACK_IS_ZERO, order=">")
    for kind, name in ((2, "int16"), (2, "int32"), (3, "float32")):
        numbers = (gray.astype(np.float32) * 2.5 - 100).astype(name)
        yield f"tiff-{name}.tif", file_of(numbers, BLACK_IS_ZERO, [(FORMAT, [kind])], order=">")
    fields = [(FORMAT, [3]), deflate, (PREDICTOR, [3])]
    yield "tiff-float32-predictor.tif", file_of(numbers, BLACK_IS_ZERO, fields, data=float_differences(numbers))
    for extra, name in ((UNSPECIFIED, "unspecified"), (STRAIGHT, "alpha")):
        yield f"tiff-gray-{name}.tif", file_of(np.dstack([gray, alpha]), BLACK_IS_ZERO, [(EXTRA, [extra])])

    for bits in (1, 2, 4):
        values = gray[:, :, 0] >> (8 - bits)
        yield f"tiff-palette-{bits}.tif", few_bits(values, bits, PALETTE, [(COLOR_MAP, color_map(bits))])
    fields = [(COLOR_MAP, color_map(6)), straight, deflate]
    yield "tiff-palette-alpha.tif", file_of(np.dstack([gray >> 2, alpha]), PALETTE, fields)

    yield "tiff-rgba.tif", file_of(rgba, RGB, [straight])
    yield "tiff-rgba-premultiplied.tif", file_of(rgba, RGB, [premultiplied])
    yield "tiff-rgba-premultiplied-16.tif", file_of(with_low_bytes(rgba[:12]), RGB, [premultiplied, deflate], order=">")
    yield "tiff-rgb-unspecified.tif", file_of(np.dstack([rgba, gray]), RGB, [(EXTRA, [0, 0])])
    yield "tiff-rgb-16.tif", file_of(with_low_bytes(rgb), RGB)
    yield "tiff-cmyk-16.tif", file_of(with_low_bytes(ink[:12]), CMYK, [deflate], rows=5)
    wide = with_low_bytes(rgb)
    fields = [deflate, predictor]
    yield "tiff-big-16-predictor.tif", file_of(wide, RGB, fields, rows=6, data=differences(wide), big=True)

    yield "tiff-planes.tif", planes_of(rgb, RGB)
    yield "tiff-planes-16-predictor.tif", planes_of(wide, RGB, fields, differences, order=">")
    yield "tiff-planes-premultiplied.tif", planes_of(rgba, RGB, [premultiplied, deflate])
    yield "tiff-planes-without-extra.tif", planes_of(rgba, RGB, [deflate])
    yield "tiff-planes-unspecified.tif", planes_of(rgba, RGB, [(EXTRA, [0]), deflate])
    yield "tiff-planes-gray-alpha.tif", planes_of(np.dstack([gray, alpha]), BLACK_IS_ZERO, [straight, deflate])
    yield "tiff-planes-cmyk.tif", planes_of(ink, CMYK)
    yield "tiff-planes-ycbcr.tif", planes_of(np.asarray(ycbcr), YCBCR, [deflate, (SUBSAMPLING, [1, 1])])
    yield "tiff-tiles.tif", tiles_of(rgb, RGB, fields, predictor=differences)
    yield "tiff-large-tile.tif", tiles_of(rgb, RGB, [deflate], side=64)
    yield "tiff-tiles-planes.tif", tiles_of(rgb // 64 * 64, RGB, [(COMPRESSION, [PACK_BITS])], planes=True)

    yield "tiff-lab.tif", saved(lab)
    yield "tiff-ycbcr.tif", saved(ycbcr)
    yield "tiff-ycbcr-22.tif", ycbcr_blocks(np.asarray(ycbcr), 2, 2)
    ranges = [(16, 1), (235, 1), (128, 1), (240, 1), (128, 1), (240, 1)]
    fields = [(COEFFICIENTS, [(2125, 10000), (7154, 10000), (721, 10000)]), (RANGE, ranges)]
    yield "tiff-ycbcr-42.tif", ycbcr_blocks(np.asarray(ycbcr), 4, 2, fields)

    pages = {"save_all": True, "append_images": [bilevel.transpose(Image.Transpose.ROTATE_180)]}
    yield "tiff-pages.tif", saved(bilevel, compression="tiff_adobe_deflate", **pages)
    yield "tiff-jpeg.tif", saved(jpeg_image, compression="jpeg", quality=90)
    yield "tiff-jpeg-gray.tif", saved(jpeg_image.convert("L"), compression="jpeg", quality=90)
    yield "tiff-jpeg-cmyk.tif", saved(jpeg_image.convert("CMYK"), compression="jpeg", quality=90)
    alpha = Image.fromarray(np.tile((np.arange(JPEG_SIZE[0]) * 5).astype(np.uint8), (JPEG_SIZE[1], 1)))
    for mode, name in (("LA", "gray-alpha"), ("RGBA", "rgba")):
        with_alpha = jpeg_image.convert(mode)
        with_alpha.putalpha(alpha)
        yield f"tiff-jpeg-{name}.tif", saved(with_alpha, compression="jpeg", quality=90)
    yield from jpeg_cases(jpeg_image)
