"""What bench/ measures with."""
