"""Finding the field lines of a head: for the scanner alone, which is compiled (`fields.pyx`)."""
