"""Joules of a cell: the clock and the meter round its phases (`meter`), and NVIDIA's counter
(`nvml`, the only module that knows NVML)."""
