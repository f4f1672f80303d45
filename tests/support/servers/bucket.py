"""An S3-compatible store for tests: moto's server in a thread of this process, and one bucket."""

import warnings
from types import TracebackType
from typing import Self


class Bucket:
    """Started and stopped as a context; `environment` is what a process needs to reach it."""

    name = "taskledger-tests"

    def __enter__(self) -> Self:
        with warnings.catch_warnings():
            # moto advises against taking its dependencies one by one; only its S3 is used here.
            warnings.simplefilter("ignore")
            from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }
        self._make()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _make(self) -> None:
        import boto3

        boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
            region_name="eu-central-1",
        ).create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
