"""For the contract test."""

EXAMPLE = """
grpc = "127.0.0.1:0"
thrift_http = "127.0.0.1:0"
thrift_compact = "127.0.0.1:0"
thrift_binary = "127.0.0.1:0"
remote_sampling = { endpoint = "127.0.0.1:0", services = { shop = { probability = 0.5 } } }
"""
