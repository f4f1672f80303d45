"""Without its broker the service accepts tasks as quickly as ever, and runs them once the broker is back."""

import time

SUBMISSIONS = 100


def test_tasks_accepted_while_rabbitmq_is_stopped_complete_when_it_is_back(stack, rabbitmq):
    rabbitmq.stop()
    try:
        timed = [_timed_submission(stack, number) for number in range(SUBMISSIONS)]
    finally:
        rabbitmq.start()
    rabbitmq.wait_until_ready()

    stack.wait_until("COMPLETED", [task_id for task_id, _ in timed], timeout=20)

    assert _percentile([seconds for _, seconds in timed], 99) < 0.3


def _timed_submission(stack, number: int) -> tuple[str, float]:
    began = time.perf_counter()
    task_id = stack.submit("fibonacci_calc", number)
    return task_id, time.perf_counter() - began


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[(len(ordered) * percent - 1) // 100]
