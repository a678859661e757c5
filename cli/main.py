"""`longhand`: the entry point of the command line."""

import click

from cli.backup import backup
from cli.doctor import doctor
from cli.jobs import jobs
from cli.keys import keys
from cli.models import models
from cli.restore import restore
from cli.transcribe import transcribe
from cli.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="longhand", prog_name="longhand")
def main() -> None:
    """Turn recordings into transcripts and subtitles on your own machines."""


for command in (up, transcribe, jobs, keys, models, backup, restore, doctor):
    main.add_command(command)
