"""Privacy that is promised, and privacy that is attacked: accounting, claims, budgets, attack statistics."""
