"""What we do: rules and state changes; every function takes a session first and none commits."""
