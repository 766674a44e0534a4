"""For the contract test."""

EXAMPLE = """
resources = ['attributes["team"] = "shop"']
spans = ['name = concat(kind, " ", name) where status.code != "error"']
logs = ['body = upper(body)']
metrics = ['name = replace(name, ".", "_")']
data_points = ['rename attributes["n"] to attributes["m"]']
"""
