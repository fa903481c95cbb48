"""What the pages on gateways show is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from pathlib import Path

import farthing

PAGES = Path(__file__).parent.parent.parent / "docs" / "gateways"


def the_page_on_litellm_shows_what_becomes_of_its_sample(server: farthing.Farthing) -> None:
    page = (PAGES / "litellm.md").read_text()
    [sample] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    [command, shown] = re.findall(r"```sh\n\$ farthing (explain [^\n]*)\n(.*?)```", page, re.DOTALL)[0]
    request = urllib.request.Request(
        f"{server.url}/v1/ingest/litellm", data=sample.encode(), headers={"Authorization": f"Bearer {server.key}"}
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201
    database = f"sqlite://{server.directory}/f.db"
    explained = subprocess.run(
        [os.environ["FARTHING"], *command.split(), "--database", database], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    lines = [line for line in shown.splitlines() if line != "..."]
    assert lines == [line for line in explained if line in lines]
    assert set(server.spend("user,team,project,key,model,requested_model")) == {
        ("customer-7", "search", "ranking", "answers-prod", "gpt-4o-mini", "small")
    }
