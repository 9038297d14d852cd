"""What every part uses and what uses no other part: errors, files, devices, memory, signals, progress, checkpoints."""
