"""What Kafka's receiver and exporter share."""
