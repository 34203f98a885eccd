"""What the WSGI server loads."""

import gc

from config import Settings
from pipemon.app import create_app

app = create_app(Settings.from_env())

# What is there by now stays: to look through it for garbage held all clients up for a tenth of a second each time.
gc.collect()
gc.freeze()
