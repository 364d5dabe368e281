"""Searching for the settings of heads and encoders with KerasTuner."""
