"""moto's IAM, STS and Organizations on a port of the system's choice, for the tests against real parts.

Prints one line, `listening on 127.0.0.1:PORT`, and serves until its standard input closes, so that an aborted test
leaves nothing behind. Beside moto's own API it answers a few POSTs with a JSON body, for what AWS has no call for:

    /_test/user    {account, user, create_date}
    /_test/key     {account, user, key_id, create_date?, status?, last_used?: {date, service, region} | null}
    /_test/report  {account, generated: "now" | instant | null}   what GetCredentialReport says of its age

Instants are RFC 3339; IAM keeps whole seconds. `account` may be left out: 123456789012.

The credential report is mended to read as AWS documents it, where moto's own differs: the root user's row comes
first, a field with a comma is quoted, `N/A` stands where there is nothing to say, and the service and region of the
last use are filled in. Its time of generation is moto's constant of 2015 until /_test/report sets it.

A refusal of access is mended too: moto wraps its <Error> in an <Errors> that AWS does not write, so that the SDK for
Rust, unlike botocore, finds no error code in it.
"""

import csv
import datetime
import io
import json
import os
import sys
import threading

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import ServiceException, _RESTError
from moto.core.responses import ActionResult
from moto.iam.models import AccessKeyLastUsed, IAMBackend, iam_backends
from moto.iam.responses import IamResponse
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

REPORT_GENERATED = {}
MOTO_REPORT_GENERATED = "2015-02-02T20:02:02Z"
ROOT_CREATED = "2015-01-01T00:00:00+00:00"
PARTITION = "aws"


def backend_of(body):
    return iam_backends[body.get("account", DEFAULT_ACCOUNT_ID)][PARTITION]


def instant(text):
    """An RFC 3339 instant as moto keeps them: in UTC, without a zone."""
    parsed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed.astimezone(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


def rfc3339(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def set_user(body):
    backend_of(body).get_user(body["user"]).create_date = instant(body["create_date"])


def set_key(body):
    key = backend_of(body).get_user(body["user"]).get_access_key_by_id(body["key_id"])
    if "create_date" in body:
        key.create_date = instant(body["create_date"])
    if "status" in body:
        key.status = body["status"]
    if "last_used" in body:
        used = body["last_used"]
        key.last_used = used and AccessKeyLastUsed(
            instant(used["date"]), used["service"], used["region"]
        )


def set_report(body):
    REPORT_GENERATED[body.get("account", DEFAULT_ACCOUNT_ID)] = body["generated"]


CONTROLS = {"/_test/user": set_user, "/_test/key": set_key, "/_test/report": set_report}


def control(app):
    """The WSGI application with the test's own endpoints in front of it."""

    def serve(environ, start_response):
        act = CONTROLS.get(environ.get("PATH_INFO"))
        if act is None:
            return app(environ, start_response)
        try:
            act(json.loads(Request(environ).get_data()))
            response = Response("done\n")
        except (HTTPException, ServiceException, KeyError, TypeError, ValueError) as error:
            response = Response(f"{type(error).__name__}: {error}\n", status=400)
        return response(environ, start_response)

    return serve


moto_report = IAMBackend.get_credential_report


def report_as_aws_writes_it(backend):
    header = moto_report(backend).split("\n", 1)[0].split(",")
    out = io.StringIO()
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()
    writer.writerow(root_row(backend, header))
    for user in backend.users.values():
        writer.writerow(user_row(user, header))
    return out.getvalue()


def root_row(backend, header):
    row = dict.fromkeys(header, "N/A")
    row.update((column, "false") for column in header if column.endswith("_active"))
    row.update(
        user="<root_account>",
        arn=f"arn:{PARTITION}:iam::{backend.account_id}:root",
        user_creation_time=ROOT_CREATED,
        password_enabled="not_supported",
        password_last_used="no_information",
        password_last_changed="not_supported",
        password_next_rotation="not_supported",
        mfa_active="true",
    )
    return row


def user_row(user, header):
    # Only the name and the ARN can hold a comma, so the other fields are safe when counted from the end.
    rest = user.to_csv().rstrip("\n").split(",")[2 - len(header) :]
    row = dict(zip(header, [user.name, user.arn, *rest]))
    row = {column: "N/A" if value == "not_supported" else value for column, value in row.items()}
    if not user.password:
        row["password_last_changed"] = "N/A"
    for number, key in enumerate(user.access_keys[:2], start=1):
        if key.last_used:
            row[f"access_key_{number}_last_used_region"] = key.last_used.region
            row[f"access_key_{number}_last_used_service"] = key.last_used.service
    return row


def get_credential_report(response):
    generated = REPORT_GENERATED.get(response.current_account) or MOTO_REPORT_GENERATED
    if generated == "now":
        generated = rfc3339(datetime.datetime.now(datetime.timezone.utc))
    return ActionResult(
        {
            "Content": response.backend.get_credential_report(),
            "ReportFormat": "text/csv",
            "GeneratedTime": generated,
        }
    )


moto_rest_error = _RESTError.__init__


def error_as_aws_writes_it(error, *args, **kwargs):
    moto_rest_error(error, *args, **kwargs)
    error.description = error.description.replace("<Errors>", "").replace("</Errors>", "")


class QuietHandler(MotoRequestHandler):
    """Errors are told, requests are not."""

    def log_request(self, code="-", size="-"):
        pass


def end_with_standard_input():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def main():
    IAMBackend.get_credential_report = report_as_aws_writes_it
    _RESTError.__init__ = error_as_aws_writes_it
    IamResponse.get_credential_report = get_credential_report
    application = control(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


main()
