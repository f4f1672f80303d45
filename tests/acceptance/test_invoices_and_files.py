"""Invoices and files on real processes: API, broker, workers."""

import io

from PIL import Image

JANUARY = {"date_from": "2026-01-01", "date_to": "2026-01-31"}
LINES = [{"description": "beans", "quantity": "2", "unit_price": "9.99", "tax_percent": "7"}]


def batch(stack, payloads) -> list[str]:
    return [stack.submit("create_invoice", payload) for payload in payloads]


def test_100_tasks_for_one_period_make_one_invoice_and_200_others_leave_no_gap(stack):
    same = batch(stack, [{"customer_id": "C-1", **JANUARY, "lines": LINES}] * 100)
    others = batch(stack, [{"customer_id": f"D-{n}", **JANUARY, "lines": LINES} for n in range(200)])

    stack.wait_until("COMPLETED", same + others, timeout=60)

    numbers = {stack.task(task_id)["result"]["number"] for task_id in same}
    sequences = [row["sequence"] for row in stack.rows("SELECT sequence FROM invoices ORDER BY sequence")]
    assert len(numbers) == 1
    assert sequences == list(range(1, 202))


def test_a_task_that_completed_is_undone_by_its_compensation(stack):
    task_id = stack.submit("create_invoice", {"customer_id": "E-1", **JANUARY, "lines": LINES})
    stack.wait_until("COMPLETED", [task_id])

    answer = stack.post(f"/tasks/{task_id}/compensate", {"reason": "by mistake"})
    stack.wait_until("COMPLETED", [answer.json()["id"]])

    undone = stack.task(answer.json()["id"])["result"]
    assert (answer.status_code, undone["credit_number"]) == (201, "INV-CN-000001")


def test_an_uploaded_picture_comes_back_resized(stack):
    buffer = io.BytesIO()
    Image.new("RGB", (400, 200), "red").save(buffer, "PNG")
    uploaded = stack.http.post(
        f"{stack.api.url}/api/v1/artifacts", files={"file": ("red.png", buffer.getvalue())}, timeout=30
    ).json()

    task_id = stack.submit("resize_image", {"artifact": uploaded["id"], "width": 40, "height": 40})
    result = stack.task(task_id, wait=20)["result"]

    content = stack.get(f"/artifacts/{result['artifact_id']}/content").content
    assert Image.open(io.BytesIO(content)).size == (40, 20)
