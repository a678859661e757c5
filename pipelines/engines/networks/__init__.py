"""Networks of our own that libraries load by their names in checkpoints; nothing here is imported before that."""
