"""What scripts/fuzz-api checks beyond schemathesis, and what it must not send."""

import uuid
from urllib.parse import quote

import schemathesis

# The keys that ask and the one that looks: changed or revoked, the run would end itself.
OWN = {"admin", "fuzz-reader", "fuzz-editor", "fuzz-admin"}

# Fields whose values no schema can describe, and what decides instead. A valid
# document may be refused for these alone, with 422 and the field's name.
DECIDED_ELSEWHERE = {
    "kind": "which connectors this build has, and where secrets may go",
    "config": "the schema of the connector, served beside the document",
    "fields": "the connectors that a credential is for",
    "connector": "which connectors this build has",
    "credential": "which credentials there are",
    "stream": "one of `stream` and `query` is given: a union would break generators",
    "query": "the source's dialect, and whether the source takes queries at all",
    "params": "the placeholders of `query`",
    "columns": "the columns of the stream",
    "filter": "the grammar of filters",
    "order_by": "the columns of the stream",
    "cursor": "opaque: only what a list gave is taken",
    "steps": "the catalogue of steps, and which of them this build runs",
    "recipe": "which recipes there are",
    "deterministic": "the format of the file",
    "schema_change": "the columns of the stream",
    "mode": "what the source can do",
    "keys": "the mode, and the columns of the rows",
    "types": "the columns of the body",
    "column_types": "the columns of the data",
    "suggestions": "which suggestions there are",
    "clean": "whether the body says it itself",
    "approximate": "whether the body says it itself",
    "data": "rows must fit each other",
    "labels": "keys and values have a shape of their own",
    "label": "`key:value`",
    "scopes": "`key:value`",
    "name": "reserved words, and shapes of ids",
    "allowed_hosts": "names and patterns of hosts",
    "allowed_sources": "names of sources",
    "$from": "the grammar of references",
    "expires_at": "it lies ahead",
    "delimiter": "one character that CSV does not need for itself",
    "download": "a name of a file",
    "shape": "the format: JSON only",
    "js_safe": "the format: JSON and NDJSON only",
}

# Refusals that name no field, and what decides.
ALSO = {
    "idempotency_mismatch": "what was sent under the same key before",
    "data": "rows of the body must be readable in the format they claim",
}

TEXTS = {
    "a value cannot be kept": "the store's texts hold every character but U+0000",
}


@schemathesis.check
def busy_says_so(ctx, response, case):
    """503 and 504 carry their code, and what passes says when to come again."""
    if response.status_code not in (503, 504):
        return
    problem = response.json()
    assert problem["status"] == response.status_code and problem["code"], problem
    assert response.headers["weir-error-code"][0] == problem["code"]
    if problem["code"] == "store_unavailable":
        assert response.headers["retry-after"]


@schemathesis.check
def refused_for_a_field_that_the_document_cannot_describe(ctx, response, case):
    """What stands behind 422 among the expected statuses of positive_data_acceptance."""
    if response.status_code != 422 or not case.meta or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    if problem["code"] in ALSO or problem["detail"] in TEXTS:
        return
    # The part `request` of a form is the request.
    fields = [error.get("pointer", "").removeprefix("#/").removeprefix("request/").split("/")[0] for error in problem.get("errors", [])]
    places = [error.get("parameter") or field for error, field in zip(problem.get("errors", []), fields)]
    # Rows have keys of their own, which no document knows.
    if not places and (case.path.startswith(("/v1/transform", "/v1/profile")) or case.path.endswith("/write")):
        return
    unexplained = [place for place in places if place not in DECIDED_ELSEWHERE]
    assert places and not unexplained, f"valid, and refused for {unexplained or 'no field'}: {problem}"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A key that stands for one request already gives its old answer: 201 for what is long gone."""
    key = (case.headers or {}).get("Idempotency-Key")
    # One that is no key stays what it is: it must be refused.
    if isinstance(key, str) and 1 <= len(key) <= 255 and key.isascii() and key.isprintable():
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.hook
def filter_case(ctx, case):
    key = str((case.path_parameters or {}).get("key", ""))
    if case.method.upper() != "GET" and key in OWN:
        return False
    # The HTTP library answers 414 by itself, without a body, from 64 KiB on.
    if sum(len(quote(str(value))) for value in (case.query or {}).values()) > 60_000:
        return False
    # The negotiated form documents JSON; each other format has an operation of its own.
    if (case.query or {}).get("format") in ("csv", "ndjson", "arrow", "parquet"):
        return False
    # What a load would do is an answer of its own, which the document shows beside that
    # of the operation (`x-dry-run-answer`): a union would take the type from every load.
    body = case.body if isinstance(case.body, dict) else {}
    asked = (case.query or {}).get("dry_run", body.get("dry_run"))
    if "/load" in case.path and asked not in (None, False, "false"):
        return False
    # Null in an optional field means that it is absent, as some clients write it. The document
    # does not say so: generators make wrappers of what may be null.
    if case.method.upper() == "POST" and None in body.values():
        return False
    # A number in the place of text is text once it is sent, and any text is CSV.
    is_text = isinstance(case.body, (str, bytes))
    return case.media_type != "text/csv" or is_text or case.meta is None or case.meta.generation.mode.is_positive
