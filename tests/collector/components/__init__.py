"""One module for each component, named as its own: the settings that the contract test uses."""
