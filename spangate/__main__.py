"""`python -m spangate` is the command `spangate`."""

from proxy.cli import main

if __name__ == "__main__":
    main(prog_name="spangate")
