"""What "auto" means: the machine's choice, unless the environment or the run says otherwise."""

import pytest

from rgbd_lib import machine
from rgbd_lib.errors import UserError


@pytest.mark.parametrize(("units", "usual"), [(True, "bf16"), (False, "fp32")])
def test_precision_is_that_of_the_processor_the_study_or_the_run(units, usual, monkeypatch):
    monkeypatch.setattr(machine, "gains_from_bf16", lambda device: units)
    monkeypatch.delenv("RGBD_PRECISION", raising=False)
    assert machine.choose("cpu").precision == usual
    for asked in ("fp32", "bf16"):
        monkeypatch.setenv("RGBD_PRECISION", asked)
        assert machine.choose("cpu").precision == asked
        assert machine.choose("cpu", "fp32").precision == "fp32"  # a run that insists
    monkeypatch.setenv("RGBD_PRECISION", "auto")
    assert machine.choose("cpu").precision == usual
    monkeypatch.setenv("RGBD_PRECISION", "half")
    with pytest.raises(UserError, match=r"unknown precision 'half'.*bf16"):
        machine.choose("cpu")
