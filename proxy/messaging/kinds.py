"""Which kind of queue is spoken how. Libraries are imported when a configuration names the kind."""

from __future__ import annotations

from proxy.config.messaging_model import Consume, Kafka, RedisStreams
from proxy.messaging.message import Consumer, Producer


def make_producer(name: str, settings: Kafka | RedisStreams) -> Producer:
    """One that connects by itself; raises ConfigError where a library is missing."""
    if isinstance(settings, Kafka):
        from proxy.messaging.kafka_producer import KafkaProducer

        return KafkaProducer(name, settings)
    from proxy.messaging.redis_streams import RedisProducer

    return RedisProducer(name, settings)


def make_consumer(settings: Kafka | RedisStreams, said: Consume) -> Consumer:
    """The same of one that reads."""
    if isinstance(settings, Kafka):
        from proxy.messaging.kafka_consumer import KafkaConsumer

        return KafkaConsumer(settings, said)
    from proxy.messaging.redis_streams import RedisConsumer

    return RedisConsumer(settings, said)
