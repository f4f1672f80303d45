"""The part of gunicorn that app/server uses. The published stubs describe release 26.

They miss errors that 27 raises, and give each method one class of connections; ours makes its own in accept().
"""
