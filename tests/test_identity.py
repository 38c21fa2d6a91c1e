"""A run's identity follows the code that determines it, and nothing else."""

import ast
import shutil

import pytest

from rgbd_lib import identity


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's source that a test may edit."""
    copy = tmp_path / "rgbd_lib"
    shutil.copytree(identity.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "PACKAGE", copy)
    forget()
    yield copy
    forget()


def forget():
    identity._file.cache_clear()
    identity._tree.cache_clear()


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    forget()


def add_statement(path):
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    forget()


def test_editing_a_method_changes_its_own_identity_and_no_other(package):
    before = {name: identity.method_code(name, {}) for name in ("rgb", "early", "mid")}
    add_statement(package / "methods/early.py")
    after = {name: identity.method_code(name, {}) for name in before}
    assert after["early"] != before["early"]
    assert (after["rgb"], after["mid"]) == (before["rgb"], before["mid"])


def test_editing_the_shared_encoder_changes_all(package):
    before = identity.method_code("rgb", {}), identity.method_code("mid", {})
    edit(package / "methods/encoder.py", "padding=3", "padding=2")
    assert identity.method_code("rgb", {}) != before[0]
    assert identity.method_code("mid", {}) != before[1]


def test_comments_and_docstrings_do_not_count(package):
    before = identity.method_code("rgb", {})
    edit(
        package / "methods/rgb.py",
        '"""The ResNet18-UNet on colour alone."""',
        '"""Other words."""  # and why',
    )
    assert identity.method_code("rgb", {}) == before


def test_a_student_built_by_name_counts(package):
    before = identity.method_code("primkd", {})
    add_statement(package / "methods/mid.py")
    assert identity.method_code("primkd", {}) != before


def test_the_progress_bar_is_no_part_of_any_identity():
    parts = identity.closure(identity.TRAINING)
    assert "rgbd_lib.losses" in parts
    assert "rgbd_lib.progress" not in parts


def test_digest_ignores_the_order_of_keys():
    assert identity.digest({"a": 1, "b": (2, 3)}) == identity.digest({"b": [2, 3], "a": 1})
    assert identity.digest({"a": 1}) != identity.digest({"a": 2})


def test_statements_read_the_same_in_every_version_of_python():
    tree = ast.parse("class A:\n    def f(self, x=1, *y) -> int:\n        return f'{x!r:>{3}}'\n")
    assert identity.statements(tree) == (
        "Module(body=[ClassDef(name='A', bases=[], keywords=[], body=[FunctionDef(name='f', args=arguments("
        "posonlyargs=[], args=[arg(arg='self'), arg(arg='x')], vararg=arg(arg='y'), kwonlyargs=[], kw_defaults=[], "
        "defaults=[Constant(value=1)]), body=[Return(value=JoinedStr(values=[FormattedValue(value=Name(id='x', "
        "ctx=Load()), conversion=114, format_spec=JoinedStr(values=[Constant(value='>'), FormattedValue(value="
        "Constant(value=3), conversion=-1)]))]))], decorator_list=[], returns=Name(id='int', ctx=Load()))], "
        "decorator_list=[])], type_ignores=[])"
    )
