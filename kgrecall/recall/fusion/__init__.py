"""How the lists of all channels become one."""
