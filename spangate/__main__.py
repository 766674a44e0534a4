"""`python -m spangate` is the command `spangate`."""

from proxy.__main__ import main

if __name__ == "__main__":
    main(prog_name="spangate")
