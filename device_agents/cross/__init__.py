"""Builds the native runner for other machines than this one."""
