"""Running a plan: what to start, retry or give up (`scheduler`, pure), where to run it (`inline`,
`cluster`), one cell from start to finish (`worker`), and the loop that joins them to the records
(`driver`). Only `cluster` knows Ray."""
