"""The command `spangate`; `python -m proxy` is the same."""

from __future__ import annotations

import sys

from proxy import start


def main(prog_name: str | None = None) -> None:
    """Do what the words of the command line say, and exit. `prog_name`: what help calls it."""
    command = start.read(sys.argv[1:])
    if command is None:
        from proxy.cli import main as by_click

        by_click(prog_name=prog_name)
        return
    try:
        code = command()
    except KeyboardInterrupt:  # before there is a hub to stop
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
