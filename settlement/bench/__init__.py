"""How long settling takes, and recalculating: each as a ratio to something measured in the same run."""
