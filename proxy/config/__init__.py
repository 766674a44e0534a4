"""routes.toml: from text to frozen structs, with errors that say what to write instead."""

from proxy.config.model import Config

__all__ = ["Config"]
