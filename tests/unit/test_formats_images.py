"""Images that a table names, or that lie in a folder for each class."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from serpens.errors import DataError
from serpens.formats import registry, tables

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
READ = {"images": "file"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, pixels, **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def label(*names, folder="."):
    text = "file,kind\n" + "".join(f"{name},k{place}\n" for place, name in enumerate(names))
    Path(folder, "t.csv").write_text(text)


def table(path="t.csv", **read):
    stream = registry.open_table(path, read)
    found = pa.Table.from_batches(stream.batches(), stream.schema)
    assert registry.header(path, read) == found.column_names
    assert registry.count(path, read) == found.num_rows
    return found


def pixels(found, row=0):
    values = found.slice(row, 1).to_pylist()[0]
    return [values[f"pixel_{n}"] for n in range(sum(name.startswith("pixel_") for name in values))]


def refusal(path="t.csv", **read):
    with pytest.raises(DataError) as caught:
        list(registry.open_table(path, read).batches())
    return str(caught.value)


def test_pixels_of_named_images_by_channel_row_and_column():
    save("d/a.png", RGB)
    save("d/deep/b.tif", RGB + 100)
    label("a.png", "deep/b.tif", folder="d")
    found = table("d/t.csv", **READ)
    assert found.column_names == ["file", "kind", *(f"pixel_{n}" for n in range(18))]
    assert found["kind"].to_pylist() == ["k0", "k1"]
    assert found.schema.types[2:] == [pa.uint8()] * 18
    assert pixels(found) == RGB.transpose(2, 0, 1).ravel().tolist()
    assert pixels(found, row=1) == (RGB + 100).transpose(2, 0, 1).ravel().tolist()
    assert registry.files("d/t.csv", READ) == ["d/t.csv", "d/a.png", "d/deep/b.tif"]


def test_a_folder_with_one_folder_a_class():
    for name in ("pets/cat/b.png", "pets/cat/a.PNG", "pets/dog/a.png"):
        save(name, GREY)
    Path("pets/cat/notes.txt").write_text("no image")
    Path("pets/.hidden").mkdir()
    save("pets/.hidden/a.png", RGB)
    found = table("pets/")
    assert found["file"].to_pylist() == ["cat/a.PNG", "cat/b.png", "dog/a.png"]
    assert found["class"].to_pylist() == ["cat", "cat", "dog"]
    assert pixels(found) == GREY.ravel().tolist()
    assert registry.files("pets/", {}) == ["pets/cat/a.PNG", "pets/cat/b.png", "pets/dog/a.png"]


def test_a_jpeg_is_near_to_what_was_saved():
    save("a.jpg", np.full((8, 8, 3), 100, np.uint8), quality=95)
    label("a.jpg")
    assert np.abs(np.array(pixels(table(**READ))) - 100).max() <= 2


def quarter():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    return exif


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.tif", {"compression": "tiff_lzw"})])
def test_an_image_lies_as_its_exif_says(name, options):
    save(name, GREY, exif=quarter(), **options)
    save("b.png", np.zeros((3, 2), np.uint8))
    label(name, "b.png")
    assert pixels(table(**READ)) == np.rot90(GREY, -1).ravel().tolist()


def test_a_plain_tiff_that_is_to_be_turned_is_refused():
    save("a.tif", GREY, exif=quarter())
    label("a.tif")
    assert refusal(**READ) == (
        "a.tif: must be compressed, or lie as it is to be seen; it is a plain TIFF to be turned: write it as PNG"
    )


def test_size_and_channels_are_converted_when_the_study_says_so():
    save("a.png", np.full((4, 6), 7, np.uint8))
    save("b.png", np.full((2, 3, 3), 9, np.uint8))
    label("a.png", "b.png")
    assert pixels(table(images="file", size=[2, 3], channels=1), row=0) == [7] * 6
    found = table(images="file", size=(1, 1), channels=3)
    assert (pixels(found, row=0), pixels(found, row=1)) == ([7] * 3, [9] * 3)


def test_black_and_white_is_grey():
    save("a.png", np.array([[True, False]]))
    label("a.png")
    assert pixels(table(**READ)) == [255, 0]


def test_images_come_in_pieces(monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 20)
    names = [f"{n}.png" for n in range(5)]
    for place, name in enumerate(names):
        save(name, GREY + place)
    label(*names)
    stream = registry.open_table("t.csv", READ)
    batches = list(stream.batches())
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert pa.Table.from_batches(batches)["pixel_0"].to_pylist() == [0, 1, 2, 3, 4]
    Path("4.png").unlink()
    assert refusal(**READ) == "t.csv, row 5: there must be an image 4.png; there is none"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            np.zeros((3, 2), np.uint8),
            "b.png: must have 2 x 3 pixels, 1 channel, as the first image has; it has 3 x 2 pixels, 1 channel: say "
            "with read: {size: [2, 3], channels: 1} to what all are to be converted",
        ),
        (
            RGB,
            "b.png: must have 2 x 3 pixels, 1 channel, as the first image has; it has 2 x 3 pixels, 3 channels: say "
            "with read: {size: [2, 3], channels: 1} to what all are to be converted",
        ),
        (
            np.zeros((2, 3, 4), np.uint8),
            "b.png: must be grey or RGB; it is RGBA: convert it, or say read: {channels: 1} or 3",
        ),
        (
            np.zeros((2, 3), np.uint16),
            "b.png: must have 8 bits a channel; its pixels are 'I;16', which have more: convert it",
        ),
    ],
)
def test_an_image_unlike_the_first_is_refused(second, message):
    save("a.png", GREY)
    save("b.png", second)
    label("a.png", "b.png")
    assert refusal(**READ) == message


def test_an_image_that_is_cut_off_is_named():
    save("a.png", np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8))
    Path("a.png").write_bytes(Path("a.png").read_bytes()[:800])
    label("a.png")
    assert refusal(**READ) == "a.png: must be a whole image; image file is truncated"


def test_what_is_no_image_is_named():
    Path("a.png").write_text("no image")
    label("a.png")
    assert refusal(**READ) == "a.png: must be a PNG, JPEG or TIFF image; it is none"


def test_several_images_in_one_file_are_refused():
    first = Image.fromarray(GREY)
    first.save("a.tif", save_all=True, append_images=[first])
    label("a.tif")
    assert refusal(**READ) == "a.tif: must hold one image; it holds 2: write each to a file of its own"


def test_an_image_that_is_a_bomb_is_refused(monkeypatch):
    save("a.png", GREY)
    label("a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert refusal(**READ).startswith("a.png: must be a whole image; Image size (6 pixels) exceeds limit of 4 pixels")


def test_paths_that_lead_nowhere():
    save("a.png", GREY)
    label("a.png", "b.png")
    assert refusal(**READ) == "t.csv, row 2: there must be an image b.png; there is none"
    label("a.png", "")
    assert refusal(**READ) == "t.csv, row 2: the path of an image must stand there; found ''"
    assert refusal(images="path") == "t.csv: read.images must name a column of it; there are file, kind"
    label()
    assert refusal(**READ) == "t.csv, row 1: the path of an image must stand there; found None"


def test_a_folder_without_classes():
    save("pets/a.png", GREY)
    message = (
        "pets/: there must be one folder a class with images (.png, .jpg, .jpeg, .tif, .tiff) in it; there is none: or "
        "name the images in a table, read: {images: <column>}"
    )
    assert refusal("pets/") == message
    assert refusal("absent/") == "absent/: the folder must exist; it does not"


def test_a_column_that_is_called_like_a_pixel():
    save("a.png", GREY)
    Path("t.csv").write_text("file,pixel_3\na.png,1\n")
    assert refusal(**READ) == "t.csv: a column name must occur once; 'pixel_3' occurs more often"
