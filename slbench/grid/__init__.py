"""Many runs on the devices there are: slots, the queue over them, and the child that does one job."""
