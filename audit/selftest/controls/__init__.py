"""Our own controls, one file for each audit, of the audit's name; `CONTROLS` holds them."""
