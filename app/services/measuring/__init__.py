"""How much there is and how fast it moves: figures for queues, statistics, metrics, the overview."""
