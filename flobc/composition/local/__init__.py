"""A whole system on one machine: Kafka, Redis and every service as processes of their own."""
