"""Training one cell, or your own network.

`protocols` has the two trainings, and `training_run` what they share; `compressor` compresses a network while it
trains, by the `surgery` that makes it smaller. `network` builds a registered model, `loop` has the steps of training
and evaluating (`written_out` those of protocol `published`, `recipe` what other protocols make of them), `flops` what
they cost, `determinism` what makes the numbers equal everywhere, and `feasibility` which cells cannot be run.
"""
