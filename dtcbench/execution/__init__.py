"""Running a suite: read and check it (`suite_run`), decide what starts and what is retried (`scheduler`, pure), execute
cells in this process (`executor`) or on Ray (`ray_executor`, on a Ray or cluster of `cluster`), make one attempt
(`worker`), and seal its record (`driver`). Only `cluster` and `ray_executor` use Ray."""
