"""For the contract test."""

EXAMPLE = 'dimensions = [{ name = "http.route" }]'
