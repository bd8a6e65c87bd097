"""The data a cell trains on: one module per dataset, registered by name, called with its options, returns `Splits`
(`splits`). Its files are `source.Source`s. They are decoded once for all workers of a node (`cache`). Without its
files a dataset can be described (`description`)."""
