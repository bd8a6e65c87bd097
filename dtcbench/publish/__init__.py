"""From a run to results that others can check: `check` its rules, `bundle` and `results` what is published,
`merge`, `compare` and `reproduce` what can be done with it.
"""
