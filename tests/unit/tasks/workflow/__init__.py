"""Tests of workflow definitions, with types of the service."""
