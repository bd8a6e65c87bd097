"""The claims about every axis value, also a plug-in's; `dtcbench selftest` and the tests try them."""
