"""The same workloads in other systems: contestants of the experiment `peers`."""
