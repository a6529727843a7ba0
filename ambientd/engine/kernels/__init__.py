"""One step of every voice: the readable reference and the fast kernels that must match it."""
