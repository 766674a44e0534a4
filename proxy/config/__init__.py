"""routes.toml: from text to frozen structs, with errors that say what to write instead."""

import sys

if "typing_extensions" not in sys.modules:
    # msgspec takes what typing has as well from there, if it finds it: 0.5 MB in each process.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]

from proxy.config.model import Config

__all__ = ["Config"]
