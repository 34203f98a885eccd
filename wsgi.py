"""What the WSGI server loads."""

from config import Settings
from pipemon.app import create_app

app = create_app(Settings.from_env())
