"""Names of a package that are imported on first use."""

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = ["backbone", "multimodal", "crosslingual", "crosslingual.corpus", "crosslingual.evaluation", "video"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_a_package_is_there_and_no_other(package):
    module = import_module(package)
    assert module.__all__ == sorted(module.__all__) != []
    assert all(getattr(module, name).__name__ == name for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        module.Nothing  # noqa: B018


@pytest.mark.slow
def test_a_package_imports_no_torch_until_a_name_is_asked_for():
    probe = (
        "import sys, multimodal, video, crosslingual; from backbone import Decoding; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
