"""Files of samples that this package and other tools write, each format in a small file of its own."""
