"""Joules of a cell: the timer of its phases (`segments`), the meter around them (`meter`), and the rules that turn
samples into a record's energy (`joules`). docs/energy.md explains every rule."""
