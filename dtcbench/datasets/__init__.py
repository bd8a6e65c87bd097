"""The data a cell trains on: one module a dataset, registered by name, called with its options to
give `Splits` (`splits`). Its files are `source.Source`s; what is decoded once for all workers of a
node lies in `cache`. What is told of it without reading its files is in `unread`."""
