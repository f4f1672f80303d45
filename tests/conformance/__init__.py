"""What holds on every broker: the same tests on RabbitMQ, Valkey and NATS JetStream, each on servers of its own."""
