"""Writes photos.parquet and mixed.parquet from photos/, broken/ and pictures.csv, then prints the tables of README.md.

    python make.py

Needs pyarrow and Pillow (for the sizes). The order of photos.parquet is the order of pictures.csv. The second table
comes from tests/data/expected_labels.csv and is omitted if that file is missing.
"""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = Path(__file__).resolve().parent
LABELS = HERE.parents[1] / "tests" / "data" / "expected_labels.csv"

# (uri, file with the bytes; None for NULL)
MIXED = [
    ("photos/cat.jpg", "photos/cat.jpg"),
    ("photos/truncated.jpg", "broken/truncated.jpg"),
    ("photos/airplane.jpg", "photos/airplane.jpg"),
    ("photos/notes.txt", "broken/notes.txt"),
    ("photos/missing.jpg", None),
    ("photos/horse.png", "photos/horse.png"),
]


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(name, table):
    """One data page per image, uncompressed and without dictionary, so that single images can be read by page."""
    pq.write_table(
        table,
        HERE / name,
        compression="none",
        use_dictionary=False,
        write_statistics=[column for column in table.column_names if column != "image"],
        write_page_index=True,
        data_page_size=4096,
        write_batch_size=1,
    )


def photos(images):
    columns = {name: [] for name in ("uri", "image", "title", "author", "licence", "width", "height")}
    for image in images:
        path = HERE / "photos" / image["file"]
        with Image.open(path) as image:
            width, height = image.size
        row = {**image, "uri": f"photos/{path.name}", "image": path.read_bytes(), "width": width, "height": height}
        for name, values in columns.items():
            values.append(row[name])
    types = {"image": pa.binary(), "width": pa.int32(), "height": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    return pa.table(columns, schema=schema)


def mixed():
    columns = {
        "uri": [uri for uri, _ in MIXED],
        "image": [None if file is None else (HERE / file).read_bytes() for _, file in MIXED],
    }
    return pa.table(columns, schema=pa.schema([("uri", pa.string()), ("image", pa.binary())]))


def markdown(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    images = read_csv(HERE / "pictures.csv")
    write("photos.parquet", photos(images))
    write("mixed.parquet", mixed())
    markdown(list(images[0]), [list(image.values()) for image in images])
    if LABELS.exists():
        print()
        rows = read_csv(LABELS)
        markdown(["uri", "label", "score"], [[row["uri"], row["label"], f"{float(row['score']):.2f}"] for row in rows])
