"""Is there anything in a checkpoint's folder that could hurt whoever opens it? Looked at, never loaded, never run.

    scan = scan_folder("models/from-somebody")
    for issue in scan.issues:
        print(issue.level, issue.file, issue.offset, issue.what)

Each file is told by its content, not by its name; archives are looked into; pickles are disassembled. A folder that
cannot be opened as a checkpoint can be scanned all the same. A clean scan is no proof: it says that what is looked for
here was not found.
"""

from core_model.supply_chain.issues import Issue, Level
from core_model.supply_chain.scan import Scan, scan_folder

__all__ = ["Issue", "Level", "Scan", "scan_folder"]
