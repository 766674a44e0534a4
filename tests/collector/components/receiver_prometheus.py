"""For the contract test: nobody listens on port 1."""

EXAMPLE = """
scrape_interval = "20ms"
scrape_configs = [{ job_name = "nobody", static_configs = [{ targets = ["127.0.0.1:1"] }] }]
"""
