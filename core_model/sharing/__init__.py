"""What a stranger gets with a checkpoint's folder, read from its files. Statistics and verdicts are `audit`'s."""
