"""Fetches the viewers of the API documentation from the npm registry into pipemon/static/vendor.

Run it by hand when a version changes; it needs npm. What it wrote is committed, with licences and checksums.
"""

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "pipemon" / "static" / "vendor"
# package@version -> the files that are taken out of it
PACKAGES = {
    "swagger-ui-dist@5.35.0": (
        "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE",
    ),
    "redoc@2.5.4": ("bundles/redoc.standalone.js", "bundles/redoc.standalone.js.LICENSE.txt", "LICENSE"),
}  # fmt: skip


def fetch(package: str, names: tuple[str, ...]) -> None:
    """Unpack the named files of one package into a folder that carries its version."""
    target = VENDOR / package.replace("@", "-")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", package, "--pack-destination", folder], check=True, capture_output=True)  # noqa: S603, S607
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            for name in names:
                member = files.extractfile(f"package/{name}")
                assert member is not None, name
                lines = member.read().splitlines(keepends=True)
                # The maps of the sources are not shipped: a browser must not ask for them.
                kept = [line for line in lines if not line.startswith(b"//# sourceMappingURL=")]
                (target / Path(name).name).write_bytes(b"".join(kept))


def write_sums() -> None:
    """Write the checksum of every vendored file."""
    files = sorted(
        path for path in VENDOR.rglob("*") if path.is_file() and path.name not in ("SHA256SUMS", "README.md")
    )
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(VENDOR)}" for path in files]
    (VENDOR / "SHA256SUMS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for package, names in PACKAGES.items():
        fetch(package, names)
    write_sums()
