"""Numbers from spans: weights, histograms, and the metric requests that carry them.

Pure: used by the connectors `span_metrics` and `service_graph`.
"""
