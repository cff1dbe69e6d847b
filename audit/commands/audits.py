"""`aboveboard audits`: which audits are installed, what they need, and their options."""

from __future__ import annotations

import click

from audit.commands.arguments import json_option, print_json


@click.command()
@click.argument("name", required=False)
@json_option
def audits(name: str | None, as_json: bool) -> int:
    """The audits that are installed; with NAME, one audit's page and options.

    \b
    Examples:
      aboveboard audits
      aboveboard audits fairness
    """
    from audit.registry import installed

    registry = installed()
    if name is not None:
        registry = registry.only([name])
    if as_json:
        print_json(
            {
                "audits": [
                    {
                        "id": p.id,
                        "title": p.title,
                        "concern": p.concern,
                        "needs": sorted(n.value for n in p.needs),
                        "uses": sorted(n.value for n in p.uses),
                        "tasks": sorted(t.value for t in p.tasks),
                        "distribution": p.distribution,
                        "options": p.options.model_json_schema().get("properties", {}),
                    }
                    for p in registry.plugins
                ],
                "broken": [{"id": b.id, "distribution": b.distribution, "reason": b.reason} for b in registry.broken],
            }
        )
        return 0
    for plugin in registry.plugins:
        click.echo(f"{plugin.id}  {plugin.title}")
        needs = ", ".join(sorted(n.value for n in plugin.needs)) or "nothing but rows"
        uses = ", ".join(sorted(n.value for n in plugin.uses))
        click.echo(f"    needs {needs}" + (f"; uses {uses}" if uses else "") + f"; from {plugin.distribution}")
        if name is not None:
            click.echo("\n" + plugin.about + "\n\nOptions (--set " + plugin.id + ".OPTION=VALUE):")
            for option, field in plugin.options.model_fields.items():
                click.echo(f"    {option} = {field.default!r}  {field.description or ''}")
    for broken in registry.broken:
        click.echo(f"{broken.id}  does not load (package {broken.distribution}): {broken.reason}")
    return 0
