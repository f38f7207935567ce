// A small program over the generated client: it must compile against the
// document, and what the service answers must be what the types say.
import createClient from "openapi-fetch";
import type { components, paths } from "./weir.js";

const [base, key] = [process.env.WEIR_URL, process.env.WEIR_KEY];
if (!base || !key) throw new Error("WEIR_URL and WEIR_KEY are not set");
const client = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${key}` } });

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

// A page, and the cursor to the next one.
const names: string[] = [];
let cursor: string | undefined;
do {
  const { data } = await client.GET("/v1/connectors");
  check(data !== undefined, "no connectors");
  names.push(...data.items.map((connector) => connector.kind));
  cursor = data.next_cursor ?? undefined;
} while (cursor !== undefined);
check(names.includes("sample"), `connectors: ${names}`);

// Create, change with a tag, remove.
const body: components["schemas"]["SourceCreate"] = { name: "from-typescript", connector: "sample", config: {} };
const headers = { "Idempotency-Key": "typescript-1" };
const made = await client.POST("/v1/sources", { body, params: { header: headers } });
check(made.data !== undefined, `create: ${JSON.stringify(made.error)}`);
const again = await client.POST("/v1/sources", { body, params: { header: headers } });
check(again.data?.id === made.data.id, "a repeated request made another source");
check(again.response.headers.get("idempotency-replayed") === "true", "the replay does not say so");
const path = { source: made.data.name };
const tag = made.response.headers.get("etag") ?? "";
const changed = await client.PATCH("/v1/sources/{source}", {
  params: { path, header: { "If-Match": tag } },
  body: { description: "changed" },
  headers: { "Content-Type": "application/merge-patch+json" },
});
check(changed.data?.description === "changed", `change: ${JSON.stringify(changed.error)}`);

// A failure is a problem, with its type.
const refused = await client.DELETE("/v1/sources/{source}", { params: { path, header: { "If-Match": tag } } });
const problem: components["schemas"]["Problem"] | undefined = refused.error;
check(problem?.code === "precondition_failed" && problem.status === 412, `problem: ${JSON.stringify(problem)}`);
const removed = await client.DELETE("/v1/sources/{source}", { params: { path } });
check(removed.response.status === 204, "the source was not removed");

// Rows as JSON, and as an Arrow stream that is not parsed as JSON.
const wanted = { stream: "penguins", limit: 3 };
const sample = { source: "sample" };
const rows = await client.POST("/v1/sources/{source}/load.json", { params: { path: sample }, body: wanted });
check(rows.data?.length === 3, `rows: ${JSON.stringify(rows.error)}`);
const preview = await client.POST("/v1/sources/{source}/preview", { params: { path: sample }, body: wanted });
check(preview.data?.row_count === 3, `preview: ${JSON.stringify(preview.error)}`);
const stream = await client.GET("/v1/sources/{source}/load.arrow", {
  params: { path: sample, query: wanted },
  parseAs: "arrayBuffer",
});
check(stream.data !== undefined && new Uint32Array(stream.data, 0, 1)[0] === 0xffffffff, "not an Arrow stream");
console.log("the generated client works");
