FLASK_APP=pipemon.cli:app
