"""HTTP to a Taskledger service: addresses, retries, typed errors, a transport and live streams.

Everything but `transport` and `streams` is computed without input and output, so that a client that waits and one
that is `async` can stand on the same rules.
"""
