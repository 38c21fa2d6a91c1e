"""The explorer as one page of plain JavaScript that opens from a disk: pictures and script are inside it."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from string import Template

from rgbd_lib.explorer import store as stores
from rgbd_lib.explorer import views
from rgbd_lib.explorer.store import Store
from rgbd_lib.palette import class_colours

HERE = Path(__file__).parent
NAME = "index.html"
KINDS = {".jpg": "image/jpeg", ".png": "image/png"}


def write(store: Store | Path, folder: Path) -> Path:
    """Write the page of a store (or of the folder that holds one) as ``folder/index.html``; return its path."""
    found = store if isinstance(store, Store) else stores.load(Path(store))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    path.write_text(html(found), encoding="utf-8")
    return path


def html(store: Store) -> str:
    """Return the whole page. It may run its own script and nothing else, and fetch nothing."""
    script, css = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    page = Template((HERE / "page.html").read_text(encoding="utf-8"))
    return page.substitute(
        policy=policy, css=css, script=script, about=about(store), store=embedded(content(store))
    )


def about(store: Store) -> str:
    """Return what the pictures are, in one sentence."""
    kind = "Synthetic data" if store.synthetic else f"Data: {escape(store.data)}"
    return (
        f"{kind}, profile {escape(store.profile)}, seed {store.seed}: {len(store.scenes)} test scenes under "
        f"{len(store.lightings)} lightings, and what {len(store.methods)} methods made of them."
    )


def content(store: Store) -> dict[str, object]:
    """Return everything that the page shows."""
    scenes = range(len(store.scenes))
    return {
        "classes": store.classes,
        "background": store.background,
        "lightings": store.lightings,
        "unit": store.unit,
        "size": store.size,
        "photo": store.photo_size,
        "palette": class_colours().tolist(),
        "scales": {
            "confidence": [views.DARK.tolist(), views.BRIGHT.tolist()],
            "depth": [views.NEAR.tolist(), views.FAR.tolist()],
        },
        "errors": views.ERRORS,
        "scenes": [scene(store, n) for n in scenes],
        "methods": [
            {
                "title": one.title,
                "iou": [[{str(k): v for k, v in image.items()} for image in row] for row in one.iou],
                "maps": [uri(store.folder / f"map-{one.name}-{n:02d}.png") for n in scenes],
                "sure": [uri(store.folder / f"sure-{one.name}-{n:02d}.png") for n in scenes],
            }
            for one in store.methods.values()
        ],
    }


def scene(store: Store, number: int) -> dict[str, object]:
    """Return what all methods share of a scene; its files are decoded once, so that a bad one is named here."""
    store.photos(number), store.truth(number), store.depth(number)
    for name in store.methods:
        store.maps(name, number), store.confidence(name, number)
    one = store.scenes[number]
    files = {"photo": "photo.jpg", "truth": "truth.png", "depth": "depth.png"}
    pictures = {k: uri(store.folder / f"scene-{number:02d}-{name}") for k, name in files.items()}
    return {"name": one.name, "near": one.near, "far": one.far} | pictures


def uri(path: Path) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def embedded(value: object) -> str:
    """Return JSON that cannot end the element it stands in, whatever names it holds."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
