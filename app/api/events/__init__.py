"""Events over HTTP: streams, webhooks, sinks."""
