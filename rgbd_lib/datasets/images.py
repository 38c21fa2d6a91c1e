"""Reading image files so that a damaged or misread one never becomes training data.

Decoders differ in what they do with half a file: some return a picture whose lower part is grey. PNG carries a
checksum for every chunk and JPEG an end marker, so both are verified before decoding (0.2 ms for a 640x480 PNG
against 5 ms for decoding it).
"""

import io
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rgbd_lib.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_NPY = b"\x93NUMPY"
# NumPy parses an array's header as Python, and Python before 3.13 does so in one thread at a time only
# (elsewhere "AST constructor recursion depth mismatch", once in a few thousand files).
ARRAY_HEADERS = threading.Lock()
_PNG_KINDS = {0: "grey", 2: "colour", 3: "palette", 4: "grey+alpha", 6: "colour+alpha"}


@dataclass(frozen=True)
class Header:
    """What a file says about its picture before any pixel is decoded."""

    height: int
    width: int
    bits: int  # per channel
    kind: str  # grey, colour, palette, grey+alpha, colour+alpha or array

    def __str__(self) -> str:
        return f"{self.height}x{self.width} {self.bits}-bit {self.kind}"


def read_rgb(path: str | Path) -> np.ndarray:
    """Return a colour picture as H,W,3 uint8 in R, G, B order; grey is repeated, alpha dropped."""
    image = _decode(path, _bytes(path))
    if image.dtype != np.uint8:
        raise UserError(f"{path} holds {image.dtype} values; a colour image must be 8-bit. Convert it first")
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def read_plane(path: str | Path) -> np.ndarray:
    """Return a one-channel picture, such as depth, as H,W in its stored type.

    Copies of one channel (and an alpha channel) are accepted; a colour map cannot be turned back into depth.
    """
    return _one_channel(path, _decode(path, _bytes(path)), "a colour-coded picture cannot be read as values")


def read_label(path: str | Path) -> np.ndarray:
    """Return label values as H,W integers: the indices of a paletted PNG, never its colours."""
    data = _bytes(path)
    if data.startswith(_JPEG):
        raise UserError(f"{path} is a JPEG file, which alters label values. Store labels as PNG")
    header = _png_header(data) if data.startswith(_PNG) else None
    if header and header.kind == "palette":
        return _palette_indices(path, data)
    image = _decode(path, data)
    if header and header.bits < 8:  # the decoder has stretched 1, 2 or 4 bits to 0..255
        image = image // (255 // (2**header.bits - 1))
    if image.dtype.kind not in "iu":
        raise UserError(f"{path} holds {image.dtype} values; labels must be integers")
    return _one_channel(path, image, "a picture of the classes in colours is not a label file")


def probe(path: str | Path) -> Header:
    """Return size and type from the first bytes of a file."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise _unreadable(path, error) from error
    if start.startswith(_PNG):
        header = _png_header(start)
        if header is None:
            raise _damaged(path, "it ends inside its header")
        return header
    if start.startswith(_NPY):
        return _header_of(_decode(path, _bytes(path)), "array")
    image = _decode(path, _bytes(path))
    return _header_of(image, "grey" if image.ndim == 2 else ("colour", "colour+alpha")[image.shape[2] == 4])


def _header_of(image: np.ndarray, kind: str) -> Header:
    return Header(*image.shape[:2], 8 * image.dtype.itemsize, kind)


def _bytes(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise UserError(f"{path} is empty (0 bytes). Copy or download it again")
    return data


def _unreadable(path: str | Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be read: {error.strerror or error}")


def _damaged(path: str | Path, how: str) -> UserError:
    return UserError(f"{path} is damaged: {how}. Copy or download it again")


def _decode(path: str | Path, data: bytes) -> np.ndarray:
    """Return the stored values, unchanged; colour in R, G, B(, A) order."""
    if data.startswith(_NPY):
        return _load_array(path, data)
    if data.startswith(_PNG):
        _verify_png(path, data)
    elif data.startswith(_JPEG) and b"\xff\xd9" not in data[-64:]:
        raise _damaged(path, "the file ends early")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path} is no image that can be read (it starts with {data[:8]!r})")
    if image.ndim == 3 and image.shape[2] >= 3:
        order = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        image = cv2.cvtColor(image, order)
    return image


def _load_array(path: str | Path, data: bytes) -> np.ndarray:
    try:
        with ARRAY_HEADERS:
            array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no array file that can be read: {error}") from error
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise UserError(
            f"{path} holds {array.dtype} of shape {array.shape}; rows x columns of numbers expected"
        )
    return array


def _png_header(data: bytes) -> Header | None:
    if len(data) < 26:
        return None
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    return Header(height, width, bits, _PNG_KINDS.get(colour, f"type {colour}"))


def _verify_png(path: str | Path, data: bytes) -> None:
    """Walk the chunks up to IEND and check every checksum."""
    view, position = memoryview(data), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _damaged(path, f"a wrong checksum at byte {position}")
        if data[position + 4 : position + 8] == b"IEND":
            return
        position = end
    raise _damaged(path, "the file ends early")


def _palette_indices(path: str | Path, data: bytes) -> np.ndarray:
    from PIL import Image  # OpenCV can only give the colours

    _verify_png(path, data)
    try:
        return np.array(Image.open(io.BytesIO(data)))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path} is no image that can be read: {error}") from error


def _one_channel(path: str | Path, image: np.ndarray, otherwise: str) -> np.ndarray:
    if image.ndim == 2:
        return image
    first, colours = image[:, :, 0], image.shape[2] - (image.shape[2] == 4)
    if any(not np.array_equal(first, image[:, :, c]) for c in range(1, min(colours, 3))):
        raise UserError(f"{path} has {image.shape[2]} different channels, 1 expected: {otherwise}")
    return np.ascontiguousarray(first)
