"""Secrets and ConfigMaps as the kubelet lays them out on the node.

All files of a volume change at once: they are links through `..data`, which is a link to
a directory with a time stamp in its name, and is replaced by a rename.
"""

import shutil
import tempfile
import time
from pathlib import Path


class Volume:
    """A directory that is mounted into containers."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)

    def write(self, files):
        """Updates the volume to {name: bytes}; returns when, on the monotonic clock."""
        fresh = Path(tempfile.mkdtemp(prefix=time.strftime("..%Y_%m_%d_%H_%M_%S."), dir=self.folder))
        fresh.chmod(0o755)
        for name, data in files.items():
            (fresh / name).write_bytes(data)
            (fresh / name).chmod(0o444)
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(data)
        now = time.monotonic()
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        if before:
            shutil.rmtree(before)
        return now
