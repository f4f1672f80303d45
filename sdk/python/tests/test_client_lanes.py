"""Group commit: who goes alone, who goes together, and what each caller is told."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter

import pytest
from fake_submissions import problem, running

from taskledger_sdk import AsyncClient, Client
from taskledger_sdk.client import Invalid, QuotaReached, RateLimited, RequestFailed, Unreachable
from taskledger_sdk.client.lanes import Entry, Lanes, Queue, sending
from taskledger_sdk.client.submissions import MOST_BYTES, MOST_ITEMS, Prepared, prepared
from taskledger_sdk.http.calls import Answer

KEY = "tl_test"


def entry(size: int = 10) -> Entry:
    return Entry(Prepared(b"x" * size), lambda: None)


def answered_together(queue: Queue, entries: list[Entry]) -> None:
    """Two go alone, the rest as one group; all have their answers."""
    for each in entries:
        queue.enter(each)
    for each in entries[:2]:
        queue.leave(each)
    queue.gather(entries[2])
    for each in entries[2:]:
        each.outcome = Answer(status=201, data={})
    queue.leave(entries[2])


@pytest.fixture
def service():
    with running() as service:
        yield service


@pytest.fixture
def client(service):
    with Client(service.url, KEY, retry_seconds=5) as client:
        yield client


class TestQueue:
    def test_two_go_at_once_and_the_rest_together(self):
        queue, entries = Queue(), [entry() for _ in range(6)]
        for each in entries:
            queue.enter(each)
        assert [each.group for each in entries[:3]] == [[entries[0]], [entries[1]], None]

        woken = queue.leave(entries[0])

        assert woken == [entries[2]]
        queue.gather(entries[2])
        assert entries[2].group == entries[2:]

    def test_a_lane_is_free_again_when_nobody_waits(self):
        queue = Queue()
        for _ in range(5):
            one = entry()
            queue.enter(one)
            assert one.group == [one]
            assert queue.leave(one) == []

    @pytest.mark.parametrize(
        ("sizes", "first"),
        [
            ([10] * 300, MOST_ITEMS),
            ([60_000] * 10, MOST_BYTES // 60_000),
            ([70_000, 10], 1),
            ([10, 70_000], 1),
        ],
    )
    def test_groups_have_bounds(self, sizes, first):
        queue, ahead, waiting = Queue(), [entry(), entry()], [entry(size) for size in sizes]
        for each in [*ahead, *waiting]:
            queue.enter(each)

        queue.leave(ahead[0])
        queue.gather(waiting[0])

        assert len(waiting[0].group) == first

    def test_who_is_interrupted_while_waiting_is_not_sent(self):
        queue, entries = Queue(), [entry() for _ in range(5)]
        for each in entries:
            queue.enter(each)

        queue.leave(entries[2])
        queue.leave(entries[0])
        queue.gather(entries[3])

        assert entries[3].group == entries[3:]

    def test_what_an_interrupted_one_had_to_send_is_sent_by_the_next(self):
        queue, entries = Queue(), [entry() for _ in range(6)]
        for each in entries:
            queue.enter(each)
        queue.leave(entries[0])
        queue.gather(entries[2])
        served = entries[3]
        served.outcome = Answer(status=201, data={})

        woken = queue.leave(entries[2])  # which had all four in its hands

        assert woken == [served, entries[4]]
        queue.gather(entries[4])
        assert entries[4].group == entries[4:]
        assert queue.leave(entries[4]) == [entries[5]]  # it, too, is interrupted
        assert entries[5].group == [entries[5]]

    def test_those_who_were_answered_together_go_together_again(self):
        queue, entries = Queue(), [entry() for _ in range(6)]
        answered_together(queue, entries)

        again = [entry() for _ in range(6)]
        queue.enter(again[0])
        assert (again[0].gathers, queue.returning) == (True, 3)
        for each in again[1:]:
            queue.enter(each)
        assert [each.group for each in again[1:]] == [None] * 5  # a lane is free, but somebody gathers
        queue.gather(again[0])

        assert again[0].group == again

    def test_the_last_of_them_wakes_whoever_gathers(self):
        queue, entries, woken = Queue(), [entry() for _ in range(6)], []
        answered_together(queue, entries)
        again = [Entry(Prepared(b"x"), partial(woken.append, place)) for place in range(4)]
        for each in again[:3]:
            queue.enter(each)
        assert (queue.returning, woken) == (1, [])

        queue.enter(again[3])

        assert (queue.returning, woken) == (0, [0])

    def test_who_is_interrupted_while_it_gathers_hands_the_lane_on(self):
        queue, entries = Queue(), [entry() for _ in range(6)]
        answered_together(queue, entries)
        again = [entry() for _ in range(3)]
        for each in again:
            queue.enter(each)

        assert queue.leave(again[0]) == [again[1]]

        assert again[1].gathers
        queue.gather(again[1])
        assert again[1].group == again[1:]

    def test_a_lone_caller_waits_for_nobody_after_others_have_gone(self):
        queue, entries = Queue(), [entry() for _ in range(6)]
        answered_together(queue, entries)
        for place in range(3):
            one = entry()
            queue.enter(one)
            assert one.gathers == (place == 0)  # once: the others do not come back
            if one.gathers:
                queue.gather(one)
            assert one.group == [one]
            queue.leave(one)


class TestTurns:
    """Six callers: two went alone, the third has sent for itself and the last three."""

    @pytest.fixture
    def woken(self):
        return []

    @pytest.fixture
    def lanes(self):
        return Lanes(lambda steps: None)

    @pytest.fixture
    def entries(self, lanes, woken):
        entries = [Entry(Prepared(b"x"), partial(woken.append, place)) for place in range(6)]
        for each in entries:
            lanes._queue.enter(each)
        lanes._leave(entries[0])
        lanes._leave(entries[1])
        lanes._queue.gather(entries[2])
        for each in entries[2:]:
            each.outcome = Answer(status=201, data={})
        woken.clear()
        return entries

    def test_each_wakes_the_next(self, lanes, entries, woken):
        for place in (2, 3, 4, 5):
            lanes._leave(entries[place])
            assert woken == [3, 4, 5][: place - 1]

    @pytest.mark.parametrize("interrupted", [3, 4, 5])
    def test_one_that_is_interrupted_while_it_sleeps_keeps_nobody_asleep(self, lanes, entries, woken, interrupted):
        lanes._leave(entries[2])
        lanes._leave(entries[interrupted])
        all_go(lanes, entries, woken, gone={interrupted})

        assert {3, 4, 5} <= {*woken, interrupted}

    @pytest.mark.parametrize("interrupted", [3, 4, 5])
    def test_one_that_has_gone_already_has_no_turn(self, lanes, entries, woken, interrupted):
        lanes._leave(entries[interrupted])
        lanes._leave(entries[2])
        all_go(lanes, entries, woken, gone={interrupted})

        assert sorted(woken) == sorted({3, 4, 5} - {interrupted})


def all_go(lanes: Lanes, entries: list[Entry], woken: list[int], gone: set[int]) -> None:
    """Whoever is woken goes, and may wake another one."""
    while left := set(woken) - gone:
        place = left.pop()
        gone.add(place)
        lanes._leave(entries[place])


class TestThreads:
    def test_a_lone_caller_sends_plain_submissions(self, service, client):
        tasks = [client.submit("greet", number) for number in range(3)]

        assert service.submissions() == [("/api/v1/tasks", 1)] * 3
        assert [task.payload for task in tasks] == [0, 1, 2]
        assert all(task.is_new for task in tasks)

    def test_many_share_requests_and_each_has_its_own_answer(self, service, client):
        service.delay = 0.02
        with ThreadPoolExecutor(32) as pool:
            tasks = list(pool.map(lambda number: client.submit("greet", number), range(200)))

        assert [task.payload for task in tasks] == list(range(200))
        assert len({task.id for task in tasks}) == len(service.tasks) == 200
        assert len(service.requests) < 60
        assert max(count for _, count in service.submissions()) > 10
        assert service.busiest == 2

    def test_each_is_refused_by_itself(self, service, client):
        service.delay = 0.02

        def submit(number):
            try:
                return client.submit("refused" if number % 3 == 0 else "greet", number).payload
            except Invalid as error:
                return error.code, str(error)

        with ThreadPoolExecutor(24) as pool:
            told = list(pool.map(submit, range(96)))

        assert told == [
            ("unknown_task_type", f"No such type: {number}.") if number % 3 == 0 else number for number in range(96)
        ]

    def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_keys(self, service, client):
        service.delay = 0.02
        service.script.extend([None, "break", 503, None, "break"])
        with ThreadPoolExecutor(16) as pool:
            tasks = list(pool.map(lambda number: client.submit("greet", number), range(64)))

        assert sorted(task["payload"] for task in service.tasks.values()) == list(range(64))
        assert len({task.id for task in tasks}) == 64
        assert not all(task.is_new for task in tasks)

    def test_an_interrupted_leader_leaves_nobody_behind(self):
        sent: list[int] = []
        began, go_on = threading.Event(), threading.Event()

        class Interrupted(BaseException):
            pass

        def send(steps):
            call = next(steps)
            lines = call.content.count(b"\n") + 1
            sent.append(lines)
            began.set()
            go_on.wait(10)
            if lines == 5 and sent.count(5) == 1:
                raise Interrupted
            results = [{"status": 201, "task": {}}] * lines
            try:
                steps.send(Answer(status=201, data={"results": results} if "batch" in call.path else {}))
            except StopIteration:
                return

        lanes = Lanes(send)

        def submit(number):
            try:
                return lanes.submit(prepared("greet", number, {}, None), attrgetter("status"))
            except Interrupted:
                return "interrupted"

        with ThreadPoolExecutor(7) as pool:
            first = [pool.submit(submit, number) for number in range(2)]
            began.wait(10)
            while len(sent) < 2:
                pass
            rest = [pool.submit(submit, number) for number in range(5)]
            while len(lanes._queue._waiting) < 5:
                pass
            go_on.set()
            told = [each.result(10) for each in [*first, *rest]]

        assert sorted(map(str, told)) == ["201"] * 6 + ["interrupted"]
        assert sent[2:] == [5, 4]

    def test_a_child_process_has_connections_and_lanes_of_its_own(self, service, client):
        client.submit("greet", "parent")
        service.gate = threading.Event()
        threads = [threading.Thread(target=client.submit, args=("greet", number)) for number in range(2)]
        for thread in threads:
            thread.start()
        while len(service.requests) < 3:
            pass
        child = os.fork()
        if child == 0:  # both lanes were busy when it was made, with threads that it does not have
            try:
                os._exit(0 if client._lanes._queue._busy == 0 and client.submit("greet", "child").is_new else 1)
            finally:
                os._exit(2)
        while len(service.requests) < 4:
            pass
        service.gate.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for thread in threads:
            thread.join(10)
        assert sorted(str(task["payload"]) for task in service.tasks.values()) == ["0", "1", "child", "parent"]


class TestCoroutines:
    def test_many_share_requests_and_each_has_its_own_answer(self, service):
        async def main():
            async with AsyncClient(service.url, KEY) as client:
                return await asyncio.gather(*(client.submit("greet", number) for number in range(500)))

        service.delay = 0.01
        tasks = asyncio.run(main())

        assert [task.payload for task in tasks] == list(range(500))
        assert len(service.requests) <= 6
        assert service.busiest == 2

    def test_a_cancelled_one_leaves_nobody_behind(self, service):
        async def main():
            async with AsyncClient(service.url, KEY) as client:
                tasks = [asyncio.create_task(client.submit("greet", number)) for number in range(20)]
                while len(service.requests) < 2:
                    await asyncio.sleep(0.005)
                for each in (0, 1, 2, 7):  # those with a lane, the one that gets the next, and one in its group
                    tasks[each].cancel()
                await asyncio.sleep(0.05)
                service.gate.set()
                return await asyncio.gather(*tasks, return_exceptions=True)

        service.gate = threading.Event()
        told = asyncio.run(main())

        cancelled = [number for number, each in enumerate(told) if isinstance(each, asyncio.CancelledError)]
        assert cancelled == [0, 1, 2, 7]
        assert [each.payload for number, each in enumerate(told) if number not in cancelled] == [
            number for number in range(20) if number not in cancelled
        ]


def drive(group, *answers):
    """What a group asks when it is answered so, and what its entries are told."""
    steps, asked = sending(group), []
    said = iter(answers)
    try:
        call = next(steps)
        while True:
            asked.append(call.path)
            answer = next(said)
            call = steps.throw(answer) if isinstance(answer, RequestFailed) else steps.send(answer)
    except StopIteration:
        return asked, [each.outcome for each in group]


def refused(kind, status, code):
    return kind(problem(status, code), status)


class TestRefusedAsAWhole:
    @pytest.mark.parametrize("error", [refused(Invalid, 413, "body_too_large"), refused(QuotaReached, 429, "quota")])
    def test_is_sent_again_item_by_item(self, error):
        group = [entry() for _ in range(3)]
        made = [Answer(status=201, data={"id": number}) for number in range(2)]
        own = refused(QuotaReached, 429, "quota_reached")

        asked, told = drive(group, error, made[0], own, made[1])

        assert asked == ["/tasks/batch", "/tasks", "/tasks", "/tasks"]
        assert told == [made[0], own, made[1]]

    @pytest.mark.parametrize("error", [Unreachable("away"), refused(RateLimited, 429, "too_many_requests")])
    def test_but_not_where_each_would_meet_the_same(self, error):
        asked, told = drive([entry() for _ in range(3)], error)

        assert asked == ["/tasks/batch"]
        assert [(type(each), str(each)) for each in told] == [(type(error), str(error))] * 3
        assert len({id(each) for each in told}) == 3  # each raises one of its own
