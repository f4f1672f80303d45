"""What the client does piece by piece: submissions in batches, streams, uploads and downloads, and coroutines."""

import asyncio
import itertools
import json
import os

import httpx2
import pytest
from fake_submissions import MOMENT, task_of
from fake_submissions import running as taking_submissions

from taskledger_sdk import AsyncClient, Client, Submission
from taskledger_sdk.client import (
    NotFound,
    Refused,
    Task,
    Unavailable,
)
from taskledger_sdk.http.transport import Transport

KEY = "tl_test"
ID = "018f3c5e-7d2a-7000-8000-0123456789ab"
TASK = task_of({"id": ID, "type": "greet", "payload": "hello"})
DONE = {**TASK, "status": "COMPLETED", "result": "olleh", "attempt": 1, "finished_at": MOMENT}


@pytest.fixture
def client(service, home):
    with Client(service.url, KEY, retry_seconds=3) as client:
        yield client


class TestMany:
    def test_any_number_in_batches_in_order(self, home):
        with taking_submissions() as service, Client(service.url, KEY) as client:
            told: list[int] = []
            produced = itertools.count()
            items = (Submission("refused" if next(produced) == 700 else "greet", number) for number in range(1234))

            results = client.submit_many(items, progress=told.append)

            assert service.requests == []
            first = next(results)
            assert len(service.requests) == 1
            assert next(produced) < 600  # not more is taken from the source than is sent
            everything = [first, *results]
        assert [each.index for each in everything] == list(range(1234))
        assert told == [500, 1000, 1234]
        refused = [each for each in everything if each.error]
        assert len(refused) == 1
        assert repr(refused[0]).startswith(f"<Submitted {refused[0].index}: refused unknown_task_type")
        assert all(path == "/api/v1/tasks/batch" for path, _ in service.submissions())

    def test_what_is_refused_as_a_whole_is_sent_in_smaller_parts(self, home):
        with taking_submissions() as service, Client(service.url, KEY) as client:
            service.script.extend([413, None, 413])
            results = list(client.submit_many(Submission("greet", number) for number in range(9)))
        assert [each.index for each in results] == list(range(9))
        assert [count for _, count in service.submissions()] == [9, 4, 5, 2, 3]
        assert len(service.tasks) == 9

    def test_an_answer_that_is_lost_makes_none_twice(self, home):
        with taking_submissions() as service, Client(service.url, KEY) as client:
            service.script.extend(["break"])
            results = list(client.submit_many([Submission("greet", number) for number in range(9)]))
        assert len(service.tasks) == 9
        assert not any(each.is_new for each in results)

    def test_a_key_that_is_wrong_ends_it(self, home):
        with taking_submissions() as service, Client(service.url, KEY) as client:
            service.script.extend([401])
            with pytest.raises(Refused) as caught:
                list(client.submit_many([Submission("greet", number) for number in range(9)]))
        assert caught.value.status == 401
        assert len(service.requests) == 1


class TestStreaming:
    EVENT = json.dumps({"task_id": ID, "type": "greet", "status": "COMPLETED", "previous_status": "PROCESSING",
                        "attempt": 1, "at": MOMENT})  # fmt: skip

    def stream(self, service) -> None:
        for number in (7, 9):
            text = f": beat\nid: 6\n\nid: {number}\nevent: task.completed\ndata: {self.EVENT}\n\n"
            service.answer("GET", "/events/stream", text.encode(), Content_Type="text/event-stream")

    def test_goes_on_where_it_was(self, service, client):
        self.stream(service)
        events = list(itertools.islice(client.stream(type="greet", task=[ID]), 2))
        assert [event.id for event in events] == ["7", "9"]
        assert events[0].status == "COMPLETED"
        assert events[0].at.tzinfo is not None
        assert [each.headers.get("last-event-id") for each in service.requests] == [None, "7"]
        assert service.requests[0].query == {"type": ["greet"], "task_id": [ID]}

    def test_for_coroutines(self, service, home):
        async def main():
            found = []
            async with AsyncClient(service.url, KEY) as client:
                async for event in client.stream(after="3"):
                    found.append(event.id)
                    if len(found) == 2:
                        break
            return found

        self.stream(service)
        assert asyncio.run(main()) == ["7", "9"]
        assert [each.headers.get("last-event-id") for each in service.requests] == ["3", "7"]


class TestFiles:
    def uploads(self, *statuses: int):
        bodies: list[bytes] = []
        left = list(statuses)

        def answer(request):
            bodies.append(request.read())
            return httpx2.Response(left.pop(0), json={"id": ID, "name": "a.txt", "size": 5, "status": 503, "code": "x"})

        client = Client("http://127.0.0.1:9", KEY)
        http = httpx2.Client(transport=httpx2.MockTransport(answer))
        client._session._opened = Transport(
            client._session.connection, patience=client._session._patience, sleep=lambda seconds: None, http=http
        )
        return client, bodies

    def test_a_broken_upload_is_sent_again_from_its_beginning(self, home):
        client, bodies = self.uploads(503, 201)
        told: list[tuple[int, int | None]] = []
        path = home / "a.txt"
        path.write_bytes(b"hello")
        artifact = client.artifacts.upload(path, progress=lambda done, size: told.append((done, size)))
        assert artifact.size == 5
        assert told == [(5, 5)] * 2
        assert all(b'filename="a.txt"' in body and b"text/plain" in body and b"hello" in body for body in bodies)

    def test_what_cannot_be_read_again_is_sent_once(self, home):

        reader, writer = os.pipe()
        os.write(writer, b"hello")
        os.close(writer)
        client, bodies = self.uploads(503)
        with open(reader, "rb") as file, pytest.raises(Unavailable):
            client.artifacts.upload(file, name="pipe")
        assert len(bodies) == 1

    def test_a_download_appears_when_it_is_whole(self, service, client, home):
        service.answer("GET", f"/artifacts/{ID}/content", b"hello")
        told: list[tuple[int, int | None]] = []
        target = home / "there.txt"
        assert client.artifacts.download(ID) == b"hello"
        client.artifacts.download(ID, target, progress=lambda done, size: told.append((done, size)))
        assert target.read_bytes() == b"hello"
        assert told == [(5, 5)]
        service.answers.clear()
        service.refuse("GET", f"/artifacts/{ID}/content", 404, "not_found", "There is no such artifact.")
        with pytest.raises(NotFound):
            client.artifacts.download(ID, target)
        assert target.read_bytes() == b"hello"
        assert sorted(path.name for path in home.iterdir() if path.is_file()) == ["there.txt"]

    def test_a_download_is_as_readable_as_any_file_that_is_written(self, service, client, home):
        service.answer("GET", f"/artifacts/{ID}/content", b"hello")
        (home / "other.txt").write_bytes(b"hello")

        client.artifacts.download(ID, home / "there.txt")

        assert (home / "there.txt").stat().st_mode == (home / "other.txt").stat().st_mode


class TestCoroutines:
    def test_the_same_methods_are_there(self):
        public = {name for name in vars(Client) if not name.startswith("_")}
        assert public == {name for name in vars(AsyncClient) if not name.startswith("_")}

    def test_they_are_retried_and_read_alike(self, service, home):
        async def main():
            async with AsyncClient(service.url, KEY) as client:
                task = await client.wait(ID)
                found = [each async for each in client.list()]
                return task, found

        service.answer("GET", f"/tasks/{ID}", b"", status=0)
        service.answer("GET", f"/tasks/{ID}", DONE)
        service.answer("GET", "/tasks", {"items": [TASK], "next": None})
        task, found = asyncio.run(main())
        assert task.result == "olleh"
        assert found == [Task.of(TASK)]
