"""Tests of the picture work with real worker processes. All photos are drawn by the tests."""
