"""What every axis value, a plug-in's too, must do: claims that `dtcbench selftest` and the tests run."""
