"""The data a cell trains on: one module a dataset, registered by name, called without arguments
to give `Splits` (`splits`). What is decoded once for all workers of a node lies in `cache`."""
