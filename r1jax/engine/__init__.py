"""What runs on devices: rollouts, updates, meshes, checkpoints. Arrays in, arrays out; no stage, no task."""
