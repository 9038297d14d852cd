"""Pictures of where trained networks look, and how much of it lies on the objects."""
