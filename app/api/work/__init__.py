"""/work: claiming tasks of remote types, and telling how they go and how they end."""
