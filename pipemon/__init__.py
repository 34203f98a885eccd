"""A self-hosted monitor of CI/CD pipelines on GitHub Actions."""

VERSION = "0.1.0"
