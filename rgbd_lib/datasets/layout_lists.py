"""The list files of the folder layouts: which frames there are and where their files lie."""

from pathlib import Path, PurePosixPath

from rgbd_lib.datasets.images import EXTENSIONS
from rgbd_lib.datasets.listed import Entry
from rgbd_lib.errors import UserError

NAMES = "one name per line"  # or a path whose stem is the name, and perhaps the label's path beside it
RGB_LABEL_DEPTH = "paths of colour, label, depth"  # with tabs between, the depth last
THREE_LISTS = "one list per part"  # colour, depth and label files, line by line


def first_line(path: Path) -> str | None:
    """Return the first line of a list, None where there is no list."""
    if not path.is_file():
        return None
    return next((line for _, line in _lines(path)), "")


def columns(line: str) -> int:
    """Return how many columns a line has: separated by tabs, or by spaces where there is no tab."""
    return len(_split(line))


def entries(root: Path, lines: str, name: str, folders: list[Path]) -> tuple[list[Entry], list[Path]]:
    """Return the frames of one list and the list files; ``folders`` are those of colour, depth and label."""
    if lines == THREE_LISTS:
        return _parallel(root, name.removesuffix(".txt"))
    path = root / name
    if not path.is_file():
        pickle = next(root.glob("*.pkl"), None)
        if pickle is not None:
            raise UserError(
                f"{path} does not exist, and {pickle.name} is a pickle, which can run any code when it is opened: "
                f"it is not read. Write the names of the frames into {name}, one per line"
            )
        raise UserError(f"{path} does not exist: a list of frames, {lines}, is needed there")
    rows = _lines(path)
    if not rows:
        raise UserError(f"{path} is empty: {lines} expected")
    return (_triples if lines == RGB_LABEL_DEPTH else _named)(root, path, rows, folders), [path]


def _triples(root: Path, path: Path, rows: list[tuple[int, str]], folders: list[Path]) -> list[Entry]:
    found = []
    for number, line in rows:
        parts = _split(line)
        if len(parts) != 3:
            raise _column_error(path, number, parts, "3: colour, label, depth, with tabs between")
        rgb, label, depth = (_inside(root, part, path, number) for part in parts)
        if label.parent.name == folders[1].name and depth.parent.name == folders[2].name:
            raise UserError(f"{path} line {number}: depth before label; the order is colour, label, depth")
        found.append(Entry(rgb.stem, rgb, depth, label))
    return found


def _named(root: Path, path: Path, rows: list[tuple[int, str]], folders: list[Path]) -> list[Entry]:
    found, endings = [], []
    for number, line in rows:
        parts = _split(line)
        if len(parts) > 2:
            raise _column_error(path, number, parts, "1 or 2: a name, or the paths of colour and label")
        names = [_stem(part) for part in parts]
        if len(set(names)) > 1:
            raise UserError(f"{path} line {number}: colour '{names[0]}' is paired with label '{names[1]}'")
        name, folder_name = names[0], PurePosixPath(names[0]).name
        if folder_name != name:
            raise UserError(f"{path} line {number}: '{name}' is no file name")
        endings = endings or [_ending(root / folder, name) for folder in folders]
        rgb, depth, label = (root / f / (name + end) for f, end in zip(folders, endings, strict=True))
        found.append(Entry(name, rgb, depth, label))
    return found


def _parallel(root: Path, part: str) -> tuple[list[Entry], list[Path]]:
    files = [root / f"{part}_{kind}.txt" for kind in ("rgb", "depth", "label")]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} does not exist: colour, depth and label need a list each")
    rows = [_lines(file) for file in files]
    if not rows[0]:
        raise UserError(f"{files[0]} is empty: {THREE_LISTS} expected")
    for file, lines in zip(files, rows, strict=True):
        if len(lines) != len(rows[0]):
            raise UserError(
                f"{file} has {len(lines)} lines, {files[0].name} {len(rows[0])}; they must go together"
            )
    found = []
    for lines in zip(*rows, strict=True):
        rgb, depth, label = (_inside(root, line, f, n) for f, (n, line) in zip(files, lines, strict=True))
        frame = rgb.parent.parent  # rgb lies in <frame>/image/, like everything else of it
        camera = frame / "intrinsics.txt"
        scene = frame.relative_to(root).as_posix().removeprefix("SUNRGBD/")
        found.append(Entry(scene, rgb, depth, label, camera if camera.is_file() else None))
    return found, files


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no text list that can be read: {error}") from error
    return [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def _split(line: str) -> list[str]:
    return [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]


def _stem(part: str) -> str:
    """Return the name in "RGB/12.jpg" or "12"; a dot that starts no known ending belongs to the name."""
    name = PurePosixPath(part).name
    return (
        name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix.lower() in EXTENSIONS else name
    )


def _inside(root: Path, part: str, path: Path, number: int) -> Path:
    pure = PurePosixPath(part)
    if pure.is_absolute() or ".." in pure.parts or not pure.name:
        raise UserError(f"{path} line {number}: '{part}' must be a path below {root}")
    return root / pure


def _ending(folder: Path, name: str) -> str:
    """Return the ending of a folder's files, from the first frame."""
    found = [end for end in EXTENSIONS for end in (end, end.upper()) if (folder / (name + end)).is_file()]
    return found[0] if found else EXTENSIONS[0]


def _column_error(path: Path, number: int, parts: list[str], wanted: str) -> UserError:
    return UserError(f"{path} line {number} has {len(parts)} columns, wanted {wanted}")
