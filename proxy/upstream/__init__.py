"""Where an attempt goes, and whether there is another one. Pure: time is an argument."""
