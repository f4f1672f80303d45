"""What a team writes its task types with, and what its programs talk to Taskledger with."""

__version__ = "0.1.0"
