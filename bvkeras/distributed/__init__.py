"""Long steps on engines that run on many machines."""
