"""For the contract test."""

EXAMPLE = 'detectors = ["env", "host", "process", "container", "k8s"]'
