"""One cell: the recipes (`protocols`: `standard`, `published`), what they share (`course`), the steps
they are made of (`loop`), one compression of all groups (`compression`), smaller networks (`surgery`),
what it costs (`flops`), where its random numbers come from (`randomness`), and what a process must be
set to first (`determinism`)."""
