"""The real program, whole, in front of engines that do what a test wants."""
