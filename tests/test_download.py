"""Downloads against a server on this machine: broken transfers, changed files, archives that lie."""

import io
import json
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from make_data import make_mm5

from rgbd_lib.datasets.download import SOURCES, download
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.datasets.unpack import unpack
from rgbd_lib.errors import UserError


class Server:
    """Serves one file as figshare does: by a redirect, with ranges and a tag. Can break transfers."""

    def __init__(self) -> None:
        self.content, self.tag = b"", '"one"'
        self.breaks: list[int] = []  # the next answers end after so many bytes
        self.refuse = 0  # status to answer instead
        self.ranges = True
        self.asked: list[str | None] = []  # the Range header of each request for the file
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}/ndownloader/files"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.refuse:
            request.send_error(self.refuse)
            return
        if request.path == f"/ndownloader/files/{SOURCES['mm5'].file}":
            request.send_response(302)
            request.send_header("Location", "/bucket/file")
            request.end_headers()
            return
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = 0
        if wanted and self.ranges and request.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(self.content):
                request.send_error(416)
                return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - start))
        request.send_header("ETag", self.tag)
        request.end_headers()
        body = self.content[start:]
        if self.breaks:
            body = body[: self.breaks.pop(0)]
        request.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small data set as a zip file, in a folder of its own as the real one."""
    root = make_mm5(
        tmp_path_factory.mktemp("source") / "MM5_ALIGNED", scenes=4, lightings=(1, 3), synthetic=False
    )
    return zipped({str(p.relative_to(root.parent)): p.read_bytes() for p in root.rglob("*") if p.is_file()})


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file.getvalue()


def get(server: Server, out: Path) -> Path:
    return download("mm5", out, base=server.base, wait=0, quiet=True)


def test_a_fetched_set_opens_and_is_not_fetched_again(server: Server, archive: bytes, tmp_path: Path):
    server.content = archive
    out = get(server, tmp_path / "mm5")
    assert len(open_dataset(out).scenes) == 4
    record = json.loads((out / "MM5_ALIGNED.zip.json").read_text())
    assert record["size"] == len(archive)
    assert sorted(p.name for p in out.iterdir()) == ["MM5_ALIGNED", "MM5_ALIGNED.zip", "MM5_ALIGNED.zip.json"]
    get(server, out)
    assert len(server.asked) == 1


def test_a_broken_transfer_goes_on_where_it_ended(server: Server, archive: bytes, tmp_path: Path):
    server.content = archive
    server.breaks = [1000, 500]
    out = get(server, tmp_path / "mm5")
    assert server.asked == [None, "bytes=1000-", "bytes=1500-"]
    assert (out / "MM5_ALIGNED.zip").read_bytes() == archive


def test_the_next_command_goes_on_too(server: Server, archive: bytes, tmp_path: Path):
    server.content = archive
    server.breaks = [300, 0, 0, 0, 0]
    with pytest.raises(
        UserError, match=r"300 bytes are kept and the same command goes on from there\. By hand: open http"
    ):
        get(server, tmp_path / "mm5")
    out = get(server, tmp_path / "mm5")
    assert server.asked[-1] == "bytes=300-"
    assert (out / "MM5_ALIGNED.zip").read_bytes() == archive


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(
    server: Server, archive: bytes, tmp_path: Path
):
    server.content, server.breaks = b"x" * len(archive), [700, 0, 0, 0, 0]
    with pytest.raises(UserError):
        get(server, tmp_path / "mm5")
    server.content, server.tag = archive, '"two"'
    assert (get(server, tmp_path / "mm5") / "MM5_ALIGNED.zip").read_bytes() == archive


def test_a_server_without_ranges_sends_everything_again(server: Server, archive: bytes, tmp_path: Path):
    server.content, server.breaks, server.ranges = archive, [700], False
    assert (get(server, tmp_path / "mm5") / "MM5_ALIGNED.zip").read_bytes() == archive


def test_a_partial_file_that_is_too_long_is_dropped(server: Server, archive: bytes, tmp_path: Path):
    out = tmp_path / "mm5"
    out.mkdir()
    (out / "MM5_ALIGNED.zip.partial").write_bytes(archive + b"more")
    (out / "MM5_ALIGNED.zip.partial.json").write_text(json.dumps({"tag": server.tag}))
    server.content = archive
    assert (get(server, out) / "MM5_ALIGNED.zip").read_bytes() == archive


def test_an_archive_put_there_by_hand_is_used(server: Server, archive: bytes, tmp_path: Path):
    (tmp_path / "mm5").mkdir()
    (tmp_path / "mm5" / "MM5_ALIGNED.zip").write_bytes(archive)
    assert len(open_dataset(get(server, tmp_path / "mm5")).scenes) == 4
    assert not server.asked


def test_another_checksum_than_recorded_is_refused(server: Server, archive: bytes, tmp_path: Path):
    out = tmp_path / "mm5"
    out.mkdir()
    known = {"size": len(archive), "sha256": "0" * 64}
    (out / "MM5_ALIGNED.zip.json").write_text(json.dumps(known))
    server.content = archive
    with pytest.raises(UserError, match=r"MM5_ALIGNED\.zip has sha256 [0-9a-f]{64}, but .* recorded 0000"):
        get(server, out)
    assert not (out / "MM5_ALIGNED").exists()


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1)])
def test_a_refusal_says_how_to_do_it_by_hand(server: Server, status: int, asked: int, tmp_path: Path):
    server.refuse = status
    with pytest.raises(UserError, match=rf"answers {status} .*save the file as .*MM5_ALIGNED\.zip and run"):
        get(server, tmp_path / "mm5")


def test_without_a_server_the_way_by_hand_is_shown(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"cannot be fetched .*By hand: open http://127\.0\.0\.1:9/"
    ) as caught:
        download("mm5", tmp_path / "mm5", base="http://127.0.0.1:9", wait=0, quiet=True)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_offered(tmp_path: Path):
    with pytest.raises(UserError, match=r"unknown data set to download 'nyuv2'.* Known: mm5"):
        download("nyuv2", tmp_path)


def test_other_data_are_not_mixed_with(server: Server, tiny_mm5: Path):
    with pytest.raises(UserError, match="already holds the data set mm5-synthetic"):
        get(server, tiny_mm5)
    assert not server.asked


def test_a_web_page_instead_of_an_archive(server: Server, tmp_path: Path):
    server.content = b"<!DOCTYPE html><p>please log in</p>"
    with pytest.raises(UserError, match=r"neither a zip nor a tar archive \(it looks like a web page\)"):
        get(server, tmp_path / "mm5")


# archives that lie


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as opened:
        for info, content in members:
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _tar_of(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return _tar((info, b""))


def _zip_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        info = zipfile.ZipInfo("RGB1")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "../outside")
    return file.getvalue()


def _cut_member() -> bytes:
    whole = bytearray(zipped({"a.txt": b"hello" * 50}))
    whole[60] ^= 0xFF
    return bytes(whole)


LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "path upwards": (lambda: zipped({"fine.txt": b"", "../evil.txt": b"x"}), "leads out of the folder"),
    "path upwards inside": (lambda: zipped({"a/../../evil.txt": b"x"}), "leads out of the folder"),
    "path upwards with backslashes": (
        lambda: zipped({"a\\..\\..\\evil.txt": b"x"}),
        "leads out of the folder",
    ),
    "absolute path": (lambda: zipped({"/tmp/evil.txt": b"x"}), "leads out of the folder"),
    "drive": (lambda: zipped({"C:/evil.txt": b"x"}), "leads out of the folder"),
    "link in a zip": (_zip_link, "'RGB1', which is a link or a device"),
    "tar path upwards": (lambda: _tar_of("../evil.txt"), "leads out of the folder"),
    "tar symbolic link": (lambda: _tar_of("RGB1", tarfile.SYMTYPE, "/etc"), "which is a link or a device"),
    "tar hard link": (lambda: _tar_of("RGB1", tarfile.LNKTYPE, "../x"), "which is a link or a device"),
    "tar device": (lambda: _tar_of("RGB1", tarfile.CHRTYPE), "which is a link or a device"),
    "damaged member": (_cut_member, "is damaged at a.txt"),
    "cut archive": (lambda: zipped({"a.txt": b"hello" * 50})[:-9], "neither a zip nor a tar archive"),
    "file that is also a folder": (lambda: zipped({"a": b"", "a/b": b""}), "cannot be written"),
}


@pytest.mark.parametrize(("make", "says"), LIES.values(), ids=LIES.keys())
def test_an_archive_that_lies_writes_nothing(
    server: Server, make: Callable[[], bytes], says: str, tmp_path: Path
):
    server.content = make()
    out = tmp_path / "deep" / "mm5"
    with pytest.raises(UserError) as caught:
        get(server, out)
    assert says in str(caught.value)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()}
    assert files == {"deep/mm5/MM5_ALIGNED.zip", "deep/mm5/MM5_ALIGNED.zip.json"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_that_comes_twice_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("a.txt", "one")
        opened.writestr("./a.txt", "two")
    with pytest.raises(UserError, match="holds the same path twice"):
        unpack(tmp_path / "a.zip", tmp_path, quiet=True)


def test_unpacking_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.zip").write_bytes(zipped({"a.txt": b"x" * 1000}))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 999})())
    with pytest.raises(UserError, match="GB free"):
        unpack(tmp_path / "a.zip", tmp_path, quiet=True)


def test_a_tar_archive_fills_up_what_is_there(tmp_path: Path):
    (tmp_path / "X").mkdir()
    (tmp_path / "X" / "kept.txt").write_text("kept")
    (tmp_path / "a.tar").write_bytes(_tar((tarfile.TarInfo("X/a/b.txt"), b"hello")))
    unpack(tmp_path / "a.tar", tmp_path, quiet=True)
    assert (tmp_path / "X" / "a" / "b.txt").read_bytes() == b"hello"
    assert (tmp_path / "X" / "kept.txt").read_text() == "kept"
