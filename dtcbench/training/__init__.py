"""One cell: the recipes (`protocols`), their steps (`loop`), smaller networks (`surgery`), one
compression of all groups (`compression`), what it costs (`flops`), and where its random numbers
come from (`randomness`)."""
