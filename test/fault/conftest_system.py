# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The plugin in test/system/conftest.py under a name of its own: two files cannot both be "conftest"."""

import importlib.util
import sys
from pathlib import Path

SYSTEM = Path(__file__).resolve().parents[1] / "system"
_spec = importlib.util.spec_from_file_location(__name__, SYSTEM / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
# pytest looks at what the module holds.
globals().update({name: value for name, value in vars(_module).items() if not name.startswith("__")})
sys.modules.setdefault("virtnet_system_conftest", _module)
