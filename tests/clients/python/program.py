"""A small program over the generated client: what the service answers must be
what the models say."""

import os

from weir_client import AuthenticatedClient
from weir_client.api.connectors import list_connectors
from weir_client.api.rows import load_rows_json, preview_rows
from weir_client.api.sources import create_source, delete_source, get_source, update_source
from weir_client.models import LoadRequest, PreviewRequest, Problem, SourceCreate, SourcePatch

client = AuthenticatedClient(base_url=os.environ["WEIR_URL"], token=os.environ["WEIR_KEY"])

kinds = [connector.kind for connector in list_connectors.sync(client=client).items]
assert "sample" in kinds, kinds

body = SourceCreate(name="from-python", connector="sample")
made = create_source.sync(client=client, body=body, idempotency_key="python-1")
again = create_source.sync(client=client, body=body, idempotency_key="python-1")
assert made.id == again.id, (made, again)
answer = get_source.sync_detailed("from-python", client=client)
tag = answer.headers["etag"]
changed = update_source.sync("from-python", client=client, body=SourcePatch(description="changed"), if_match=tag)
assert changed.description == "changed", changed
refused = delete_source.sync("from-python", client=client, if_match=tag)
assert isinstance(refused, Problem) and refused.code == "precondition_failed", refused
assert delete_source.sync_detailed("from-python", client=client).status_code == 204

rows = load_rows_json.sync("sample", client=client, body=LoadRequest(stream="penguins", limit=3))
assert len(rows) == 3, rows
preview = preview_rows.sync("sample", client=client, body=PreviewRequest(stream="penguins", limit=3))
assert preview.row_count == 3 and preview.truncated, preview
print("the generated client works")
