"""Submits, waits and reads with a client that openapi-python-client has made of the document."""

import os
import uuid

from generated import AuthenticatedClient
from generated.api.runs import start_inline_run
from generated.api.tasks import list_tasks, read_task, submit_task
from generated.models import Problem, ReverseStringSubmission, RunDetails, StartInlineRun, TaskList, TaskView
from generated.models.reverse_string_submission_type import ReverseStringSubmissionType

client = AuthenticatedClient(
    base_url=os.environ["TASKLEDGER_URL"],
    token=os.environ["TASKLEDGER_API_KEY"],
    timeout=60,
    raise_on_unexpected_status=True,
)
body = ReverseStringSubmission(type_=ReverseStringSubmissionType.REVERSE_STRING, payload="hello")

submitted = submit_task.sync(client=client, body=body)
assert isinstance(submitted, TaskView), submitted
done = read_task.sync(task_id=submitted.id, client=client, wait=30)
assert isinstance(done, TaskView), done
assert (done.status, done.result) == ("COMPLETED", "olleh"), done

found = list_tasks.sync(client=client, limit=5)
assert isinstance(found, TaskList), found
assert submitted.id in {task.id for task in found.items}

missing = read_task.sync(task_id=uuid.uuid4(), client=client)
assert isinstance(missing, Problem), missing
assert missing.code == "not_found"

definition = {"steps": {"reverse": {"type": "reverse_string", "payload": "hello"}}}
run = start_inline_run.sync(client=client, body=StartInlineRun.from_dict({"definition": definition}))
assert isinstance(run, RunDetails), run
print(done.result)
