"""Requests that wait: long polls and event streams."""
