"""What a package declares to be shared by its handlers, and what fails at import."""

from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest

from taskledger_sdk import lifespan, lifespans, packages
from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.lifespans import Lifespan, NotStarted


@pytest.fixture(autouse=True)
def _own_declarations(monkeypatch):
    monkeypatch.setattr(lifespans, "_declared", {})


def declare(module: str = "acme_jobs.clients") -> Lifespan[str]:
    def client() -> Iterator[str]:
        yield "a client"

    client.__module__, client.__qualname__ = module, "client"
    return lifespan(client)


def test_a_generator_function_is_a_lifespan_under_its_place():
    client = declare()

    assert lifespans.declared() == (client,)
    assert client.place == "acme_jobs.clients.client"


def test_a_module_that_is_imported_again_replaces_its_own():
    declare()
    again = declare()

    assert lifespans.declared() == (again,)


def test_the_value_is_there_while_it_is_open():
    closed = []

    @lifespan
    def client() -> Iterator[str]:
        yield "a client"
        closed.append(True)

    with client.opened() as opened:
        assert client.value == opened == "a client"
        assert closed == []

    assert closed == [True]
    with pytest.raises(NotStarted):
        _ = client.value


async def _open(client: Lifespan[str]) -> str:
    async with client.opened_async():
        return client.value


def test_the_value_of_an_async_one_is_there_while_it_is_open():
    import asyncio

    @lifespan
    async def client() -> AsyncIterator[str]:
        yield "a client"

    assert (client.is_async, asyncio.run(_open(client))) == (True, "a client")


def test_a_value_that_is_not_there_says_who_starts_it_and_what_a_test_writes():
    with pytest.raises(NotStarted, match=r"acme_jobs.clients.client is not started.*with client.using\("):
        _ = declare().value


def test_a_test_puts_a_value_of_its_own_in_its_place():
    client = declare()

    with client.using("a fake"):
        assert client.value == "a fake"

    with pytest.raises(NotStarted):
        _ = client.value


def plain() -> str:
    return "a client"


async def coroutine() -> str:
    return "a client"


def with_parameter(url: str) -> Iterator[str]:
    yield url


@pytest.mark.parametrize("function", [plain, coroutine, with_parameter])
def test_anything_else_fails_at_import_and_says_what_to_write(function):
    with pytest.raises(BadDeclaration, match=rf"{function.__module__}.{function.__name__} is no lifespan; .*one yield"):
        lifespan(function)

    assert lifespans.declared() == ()


@pytest.fixture
def _two_packages(monkeypatch):
    monkeypatch.setattr(packages, "_packages", ("acme_jobs", "acme_jobs.more", "acme"))


@pytest.mark.usefixtures("_two_packages")
@pytest.mark.parametrize(
    ("declared_in", "handler_in", "serves"),
    [
        ("acme_jobs.clients", "acme_jobs.fetch", True),
        ("acme_jobs", "acme_jobs.fetch", True),
        ("acme_jobs.clients", "acme_jobs.more.fetch", False),
        ("acme_jobs.clients", "acme.fetch", False),
        ("acme_jobs.clients", "tasks.handlers.http_request", False),
        ("a_library", "acme_jobs.fetch", True),
        ("a_library", "acme.fetch", True),
    ],
)
def test_a_lifespan_serves_the_handlers_of_its_package_and_one_of_a_library_serves_all(declared_in, handler_in, serves):
    assert declare(declared_in).serves(handler_in) is serves


def test_a_module_is_not_of_a_package_whose_name_it_only_begins_with(monkeypatch):
    monkeypatch.setattr(packages, "_packages", ("acme",))

    assert packages.package_of("acme_jobs.fetch") is None
    assert packages.package_of(ModuleType("acme").__name__) == "acme"
