// Asks for rows as users of Node do, and says what each client reports. Takes
// cases as JSON on stdin, and prints `[{run, said}]`, as read.py does.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const [folder, tools] = process.argv.slice(2);
const { RecordBatchReader, tableFromIPC } = createRequire(join(tools, 'package.json'))('apache-arrow');

const headers = ({ key, run, coding }) => ({
  authorization: `Bearer ${key}`,
  'weir-run-id': run,
  ...(['identity', 'gzip', 'zstd'].includes(coding) ? { 'accept-encoding': coding } : {}),
});

const asked = async (one) => {
  const answer = await fetch(one.url, { headers: headers(one) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
};

const overHttp2 = (one) =>
  new Promise((done, failed) => {
    const url = new URL(one.url);
    const session = connect(url.origin);
    const request = session.request({ ':path': url.pathname + url.search, ...headers(one) });
    const end = (act) => (value) => { session.close(); act(value); };
    session.on('error', end(failed));
    request.on('error', end(failed));
    request.on('response', (head) => {
      if (head[':status'] !== 200) end(failed)(new Error(`status ${head[':status']}`));
    });
    request.on('end', end(done));
    request.resume();
  });

const saved = (one) =>
  new Promise((done) => {
    const path = join(folder, one.run);
    const named = Object.entries(headers(one)).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    execFile('curl', ['-s', '--compressed', '-o', path, ...named, one.url], () => done(path));
  });

const batches = async (reader) => {
  let rows = 0;
  for await (const batch of reader) rows += batch.numRows;
  return rows;
};

const clients = {
  'Node fetch': async (one) => (await asked(one)).arrayBuffer(),
  'Node fetch json': async (one) => (await asked(one)).json(),
  'Node http2': overHttp2,
  'arrow-js tableFromIPC': async (one) => tableFromIPC(await asked(one)),
  'arrow-js RecordBatchReader': async (one) =>
    batches(await RecordBatchReader.from((await asked(one)).body)),
  'curl to a file, arrow-js': async (one) => tableFromIPC(await readFile(await saved(one))),
};

const said = async (one) => {
  try {
    await clients[one.client](one);
    return null;
  } catch (error) {
    const code = error.code?.startsWith?.('ERR_HTTP2') ? error.code : '';
    return code || `${error.name}${error.message === 'terminated' ? ': terminated' : ''}`;
  }
};

const cases = JSON.parse(await text(process.stdin));
const found = [];
const next = async () => {
  for (let one = cases.shift(); one; one = cases.shift()) {
    found.push({ run: one.run, said: await said(one) });
  }
};
await Promise.all([next(), next()]);
console.log(JSON.stringify(found));
