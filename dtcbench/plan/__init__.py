"""What to run: a suite's YAML (`suite`), the recipes it may name (`protocol`), the cells it expands
to (`grid`), and what a cell is (`cell`). Pure: no Ray, no torch, no clock."""
