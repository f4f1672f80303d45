"""What most such applications are: a row, committed, then task.delay(id); the worker loads, commits, runs, commits."""

import os
import time

from celery import Celery
from flask import Flask, jsonify, request
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Task(db.Model):
    """One task."""

    __tablename__ = "naive_tasks"
    id = db.Column(db.Integer, primary_key=True)
    type = db.Column(db.String(50), nullable=False)
    payload = db.Column(db.JSON)
    status = db.Column(db.String(20), nullable=False, default="PENDING", index=True)
    result = db.Column(db.JSON)
    created_at = db.Column(db.DateTime(timezone=True), server_default=db.func.now())
    started = db.Column(db.Float)
    updated_at = db.Column(db.DateTime(timezone=True), server_default=db.func.now(), onupdate=db.func.now())

    def to_dict(self) -> dict:
        """As JSON."""
        return {
            "id": self.id,
            "type": self.type,
            "payload": self.payload,
            "status": self.status,
            "result": self.result,
            "created_at": self.created_at.isoformat(),
        }


def create_app() -> Flask:
    """The application."""
    flask = Flask(__name__)
    flask.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCH_DATABASE"]
    flask.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 20}
    db.init_app(flask)

    @flask.post("/tasks")
    def submit():
        body = request.get_json()
        task = Task(type=body["type"], payload=body["payload"])
        db.session.add(task)
        db.session.commit()
        run.delay(task.id)
        return jsonify(task.to_dict()), 201

    return flask


app = Celery("naive", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, broker_pool_limit=16)
_flask = None


@app.task
def run(task_id: int) -> None:
    """Load the row, run it, and keep its result in it."""
    global _flask
    _flask = _flask or create_app()
    with _flask.app_context():
        task = db.session.get(Task, task_id)
        task.status = "PROCESSING"
        task.started = time.time()
        db.session.commit()
        result = task.payload[::-1]
        task.status = "COMPLETED"
        task.result = result
        db.session.commit()


if __name__ == "__main__":
    with create_app().app_context():
        db.create_all()
