"""The commands of the deployment pages are the commands of this suite; it is collected last."""

import pytest

from tests.containers import documented

pytestmark = pytest.mark.containers

MODULES = {"test_configuration", "test_images", "test_plain", "test_production"}
# They stay in the foreground, or need an image that no package of Debian has; test_configuration.py sees their files.
NOT_RUN = {
    "docker compose -f docker-compose.yml -f deploy/compose/dev.yml up --build --watch",
    "docker compose -f docker-compose.yml -f deploy/compose/production.yml up -d --build",
}


def test_every_command_of_the_pages_was_run(request):
    collected = {item.module.__name__.rpartition(".")[2] for item in request.session.items}
    if not collected >= MODULES:
        pytest.skip("only a part of the suite was asked for")

    assert set(documented.all_commands()) - documented.run == NOT_RUN
