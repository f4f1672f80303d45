"""HTTP to a Taskledger service: addresses, retries, typed errors, transports and live streams.

Everything but `transport`, `async_transport` and `streams` is computed without input and output: the transport that
blocks and the one of coroutines decide by the same rules.
"""
