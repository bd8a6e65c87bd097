"""What a reader must know before using a figure of energy: the flags, and from where on they are raised."""

SHORT_WINDOW_S = 60.0
MIN_SAMPLES = 60
COARSE_SHARE = 0.05
"""Quantisation that weighs more than this in a figure makes it coarse; in a phase's, makes it none."""
DISAGREEMENT_PCT = 5.0
LONG_GAP_S = 1.0
LOST_SHARE = 0.1
THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Clock-event reasons: hardware slowdown, software and hardware thermal slowdown, power brake. A board at its
power limit is not among them: it does what it was told."""

FLAGS = {
    "short": f"the window has less than {SHORT_WINDOW_S:.0f} s, or fewer than {MIN_SAMPLES} samples",
    "coarse": f"the driver's refresh makes the figure uncertain by more than {100 * COARSE_SHARE:.0f} %",
    "disagreement": f"counter and integral differ by more than {DISAGREEMENT_PCT:.0f} %",
    "gaps": f"the power, or the counter that gave the joules, was not seen for longer than {LONG_GAP_S:.0f} s",
    "lost-samples": f"more than {100 * LOST_SHARE:.0f} % of the power samples could not be read",
    "shared": "the figure covers more than the cell: a MIG instance, a part of a GPU, or a foreign process",
    "simulated": "the GPU is a simulation",
    "throttled": "heat or a fault slowed the GPU down",
    "limit-changed": "the power limit was changed inside the window",
    "warm": "the GPU had not cooled down to the temperature asked for",
    "processes-unseen": "the driver does not show the cell's own process, so it may hide others",
    "not-repeatable": "a repeat of the training took another course",
}
"""What a flag of a record's energy means."""
