"""Files in, arrays out: channel order, indices instead of colours, and nothing from a damaged file."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_data import write
from PIL import Image

from rgbd_lib.datasets import images
from rgbd_lib.errors import UserError


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def test_colour_is_red_green_blue(tmp_path: Path, picture: np.ndarray):
    Image.fromarray(picture).save(tmp_path / "a.png")  # written and read by different libraries
    np.testing.assert_array_equal(images.read_rgb(tmp_path / "a.png"), picture)


def test_alpha_is_dropped_and_grey_repeated(tmp_path: Path, picture: np.ndarray):
    alpha = np.dstack([picture, np.full(picture.shape[:2], 7, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(images.read_rgb(tmp_path / "alpha.png"), picture)
    Image.fromarray(picture[:, :, 1]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(images.read_rgb(tmp_path / "grey.png"), picture[:, :, [1, 1, 1]])


def test_a_palette_gives_indices(tmp_path: Path):
    label = np.random.default_rng(1).integers(0, 5, (9, 11)).astype(np.uint8)
    for bits in (8, 4):
        image = Image.fromarray(label).convert("P")
        image.putdata(label.ravel().tolist())
        image.putpalette([(37 * i) % 256 for i in range(3 * 16)])
        image.save(tmp_path / "palette.png", bits=bits)
        np.testing.assert_array_equal(images.read_label(tmp_path / "palette.png"), label)
        assert images.probe(tmp_path / "palette.png").kind == "palette"


def _png(rows: np.ndarray, bits: int) -> bytes:
    """Pack grey values of 1, 2 or 4 bits by hand."""
    packed = b""
    for row in rows:
        binary = "".join(f"{value:0{bits}b}" for value in row)
        binary += "0" * (-len(binary) % 8)
        packed += b"\0" + int(binary, 2).to_bytes(len(binary) // 8, "big")
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(packed)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_not_stretched(tmp_path: Path, bits: int):
    label = np.random.default_rng(bits).integers(0, 2**bits, (6, 13))
    (tmp_path / "a.png").write_bytes(_png(label, bits))
    np.testing.assert_array_equal(images.read_label(tmp_path / "a.png"), label)


def test_equal_channels_are_one_plane(tmp_path: Path):
    depth = np.random.default_rng(2).integers(0, 65536, (5, 6)).astype(np.uint16)
    write(tmp_path / "a.png", np.dstack([depth] * 3))
    np.testing.assert_array_equal(images.read_plane(tmp_path / "a.png"), depth)
    rgba = np.dstack([depth, depth, depth, np.full_like(depth, 9)])
    assert cv2.imwrite(str(tmp_path / "b.png"), rgba)
    np.testing.assert_array_equal(images.read_plane(tmp_path / "b.png"), depth)


def test_every_cut_through_a_file_is_noticed(tmp_path: Path, picture: np.ndarray):
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    for name in ("a.png", "a.jpg"):
        whole = write(tmp_path / name, smooth).read_bytes()
        for length in (*range(0, len(whole) - 1, 97), len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(UserError, match=name):
                images.read_rgb(tmp_path / name)
        (tmp_path / name).write_bytes(whole)
        images.read_rgb(tmp_path / name)


def test_every_flipped_byte_of_a_png_is_noticed(tmp_path: Path, picture: np.ndarray):
    path = write(tmp_path / "a.png", picture)
    whole = path.read_bytes()
    for position in range(12, len(whole) - 8, 61):
        broken = bytearray(whole)
        broken[position] ^= 1
        path.write_bytes(broken)
        with pytest.raises(UserError, match="damaged"):
            images.read_rgb(path)


def test_bytes_behind_the_end_are_harmless(tmp_path: Path, picture: np.ndarray):
    path = write(tmp_path / "a.png", picture)
    path.write_bytes(path.read_bytes() + b"trailing")
    np.testing.assert_array_equal(images.read_rgb(path), picture)


def test_the_content_decides_not_the_ending(tmp_path: Path, picture: np.ndarray):
    path = write(tmp_path / "a.jpg", picture).rename(tmp_path / "a.png")
    assert images.read_rgb(path).shape == picture.shape
    assert images.probe(path).bits == 8


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_probe_agrees_with_decoding(tmp_path: Path, dtype: type, bits: int):
    path = write(tmp_path / "a.png", np.zeros((4, 7), dtype))
    assert images.probe(path) == images.Header(4, 7, bits, "grey")


def test_arrays_are_read_without_running_code(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.array([[1.5, np.nan]], np.float32))
    assert images.read_plane(tmp_path / "a.npy").dtype == np.float32
    np.save(tmp_path / "b.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"b\.npy is no array"):
        images.read_plane(tmp_path / "b.npy")
