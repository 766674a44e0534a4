"""The distribution's own name, for `python -m spangate`; the code is in `proxy`."""

from proxy import __version__ as __version__
