"""For the contract test."""

EXAMPLE = """
spans = ['attributes["http.response.status_code"] == 200 and kind == "client"']
logs = ['body matches "request [02]"']
data_points = ['attributes["n"] == 1']
"""
