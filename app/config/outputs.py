"""Where files, CSV, webhooks and invoices go."""

from dataclasses import dataclass
from pathlib import Path

from marshmallow.validate import Range

from app.config.checks import check_artifacts_url, check_seller
from app.config.setting import setting

DEFAULT_VAR_DIR = Path("var")


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where files, CSV, webhooks and invoices go."""

    var_dir: Path = setting(  # noqa: RUF009 (a Path is as frozen as the strings above)
        "path",
        "Where the embedded mode keeps its data and its generated passwords",
        example="var",
        default=DEFAULT_VAR_DIR,
    )
    artifacts_url: str | None = setting(
        "str",
        "Where files are kept: `s3://bucket/prefix`, or a `file:///directory` that all processes share; "
        "unset: VAR_DIR/artifacts",
        example="s3://taskledger/artifacts",
        default=None,
        check=check_artifacts_url,
    )
    artifact_max_bytes: int = setting(
        "int",
        "Largest file that is accepted; a larger one is answered with 413",
        example="104857600",
        default=104_857_600,
        check=Range(1, 1_099_511_627_776),
    )
    artifact_retention_days: int = setting(
        "int",
        "How long files are kept; 0: until somebody deletes them",
        example="30",
        default=30,
        check=Range(0, 36_500),
    )
    csv_dir: Path | None = setting(  # noqa: RUF009 (as var_dir)
        "path",
        "Where the csv sink writes events-YYYY-MM-DD.csv; unset: VAR_DIR/csv",
        example="/var/lib/taskledger/csv",
        default=None,
    )
    csv_retention_days: int = setting(
        "int",
        "Files of the csv sink are deleted after so many days; 0 keeps them",
        example="90",
        default=90,
        check=Range(0, 36_500),
    )
    webhook_disable_hours: int = setting(
        "int",
        "A webhook none of whose attempts has succeeded for so long is disabled; 0: never",
        example="120",
        default=120,
        check=Range(0, 8_760),
    )
    invoice_seller: str = setting(
        "str",
        "Who sends invoices, as printed: JSON with name, address (a list of lines), tax_id and bank",
        example='{"name": "Nordlicht Kaffee GmbH", "address": ["Hafenstr. 12", "20457 Hamburg"]}',
        default="",
        check=check_seller,
    )
