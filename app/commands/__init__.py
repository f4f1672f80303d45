"""Commands for people, beside those of app/cli.py: one file each."""
