"""Coordinate networks, their encodings and their training. Only the modules that compute import torch."""
