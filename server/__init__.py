"""Callboard: a live queue for clinics."""
