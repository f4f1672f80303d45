"""What is vendored: Swagger UI, uPlot."""

import subprocess
import sys


def test_the_vendored_files_are_as_they_were_fetched():
    done = subprocess.run([sys.executable, "deploy/vendor.py", "--check"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
