"""The command line as `longhand --help` tells it, for docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tools.docs_site.text import code, plain, table


def page() -> str:
    """Every command with its arguments and options."""
    from cli.main import main

    return "".join(_command(main, click.Context(main, info_name="longhand")))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    path = context.command_path
    if isinstance(command, click.Group):
        if context.parent is not None:
            yield f"## {path}\n\n{_told(command)}"
        for name, child in command.commands.items():  # as they were added, what is used most first
            if not child.hidden:
                yield from _command(child, click.Context(child, parent=context, info_name=name))
        return
    level = "##" if context.parent is not None and context.parent.parent is None else "###"
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    options = table(("option", "what"), _options(command, context))
    yield f"{level} {path}\n\n{_told(command)}```\n{usage}\n```\n\n{options}"


def _told(command: click.Command) -> str:
    paragraphs = (command.help or "").split("\n\n")
    return "".join(f"{plain(one)}\n\n" for one in paragraphs)


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if isinstance(option, click.Option) and record is not None and "--help" not in option.opts:
            yield code(record[0]), plain(record[1])
