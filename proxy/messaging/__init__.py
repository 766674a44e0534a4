"""Message queues: what is published to them over HTTP, and what is delivered from them."""
