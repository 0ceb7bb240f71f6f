# `_ffi.py` is made from include/listenkit.h when the package is built.
from typing import Any

ffi: Any
