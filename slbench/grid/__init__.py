"""Many runs on the devices of this machine: slots, a queue over them, and worker processes."""
