"""Faults on purpose, on a real PostgreSQL, a real RabbitMQ and real processes: does the ledger keep its promises?"""
