"""A method from another folder is a method like the project's own, for as long as its process lives."""

from pathlib import Path

import pytest
import torch

from rgbd_lib import identity, methods, own_method
from rgbd_lib.errors import UserError
from rgbd_lib.methods import registry

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "maximum.py"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    """Leave the registry as it was: other tests go through all methods."""
    methods.names()
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def test_the_example_takes_the_larger_feature():
    assert own_method.load(EXAMPLE) == ("maximum",)
    model = methods.build("maximum", 5, width=0.25).eval()
    rgb, depth = torch.randn(2, 3, 32, 48), torch.randn(2, 1, 32, 48)
    with torch.no_grad():
        output = model(rgb, depth, explain=True)
        model.depth_encoder.load_state_dict(
            {k: torch.zeros_like(v) for k, v in model.depth_encoder.state_dict().items()}
        )
        alone = model(rgb, depth, explain=True)  # features are not negative: zeros never win
        _, *maps = model.encoder(rgb)
        torch.testing.assert_close(alone.logits, model.decoder(maps[3], maps[2::-1], (32, 48)))
    assert output.logits.shape == (2, 5, 32, 48)
    assert 0 < output.explain["layer1/depth_wins"].mean() < 1
    assert not any(share.any() for share in alone.explain.values())


def test_its_code_is_part_of_its_runs_and_of_no_others(tmp_path: Path):
    file = tmp_path / "maximum.py"
    file.write_text(EXAMPLE.read_text())
    own_method.load(file)
    first, other = (identity.method_code(n, {}) for n in ("maximum", "rgb"))
    assert first != identity.code(["rgbd_lib.methods.encoder", "rgbd_lib.methods.decoder"])
    file.write_text("# a comment\n" + file.read_text())
    own_method.load(file)
    assert identity.method_code("maximum", {}) == first
    file.write_text(file.read_text().replace("torch.maximum", "torch.minimum"))
    own_method.load(file)
    assert identity.method_code("maximum", {}) != first
    assert identity.method_code("rgb", {}) == other
    model = methods.build("maximum", 5, width=0.25)
    assert type(model).__module__ == "rgbd_lib.methods.maximum"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("rgb.py", "", "has a rgb.py already"),
        ("idea.py", "x = 1\n", "registers no method"),
        ("idea.txt", "", "is no Python file"),
    ],
)
def test_files_that_cannot_be_a_method_are_refused(tmp_path: Path, name: str, text: str, words: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        own_method.load(tmp_path / name)


def test_a_name_that_is_taken_is_refused(tmp_path: Path):
    file = tmp_path / "again.py"
    file.write_text(EXAMPLE.read_text().replace('"maximum"', '"mid"'))
    with pytest.raises(
        UserError, match=r"two methods are called 'mid': rgbd_lib.methods.mid and rgbd_lib.methods.again"
    ):
        own_method.load(file)
