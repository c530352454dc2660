// The client that the conformance suite runs, with the URL of a scenario's server: `node client.mjs URL`.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { providerFor } from './authorization.mjs';
import { start } from './proxy.mjs';

const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const url = new URL(process.argv[2]);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const listening = (process.env.SCENARIO_PORTS ?? '').split(',').filter((port) => port !== '');
const proxy = await start([url.port, ...listening.filter((port) => port !== url.port)]);
// What a request may be sent again for: an authorization, and one with more scopes.
const MOST_AUTHORIZATIONS = 3;

let opened;
// The stream over which the server asks the client. The client opens it by itself, and does not wait for it; what the
// server asks before that is lost.
const stream = new Promise((resolve) => (opened = resolve));
async function fetch(target, init) {
  const response = await proxy.fetch(target, init);
  const streams = response.headers.get('content-type')?.startsWith('text/event-stream');
  if ((init?.method ?? 'GET') === 'GET' && streams) opened();
  return response;
}

/** Runs `send`; where the server wants an authorization first, gets it and runs `send` again. */
async function authorized(provider, transport, send) {
  for (let left = MOST_AUTHORIZATIONS; ; left -= 1) {
    try {
      return await send();
    } catch (error) {
      const code = provider?.takeCode?.();
      if (!(error instanceof UnauthorizedError) || code === undefined || left === 0) throw error;
      await transport().finishAuth(code);
    }
  }
}

async function connected(provider) {
  const client = new Client(
    { name: 'narrowgate-conformance', version: '1.0.0' },
    { capabilities: { elicitation: { form: { applyDefaults: true } } } },
  );
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: {} }));
  let transport;
  await authorized(provider, () => transport, async () => {
    transport = new StreamableHTTPClientTransport(url, { fetch, authProvider: provider });
    await client.connect(transport);
  });
  return { client, transport };
}

/** Lists the tools and calls each that is asked for. */
async function callTools(calls) {
  const provider = scenario.startsWith('auth/') ? providerFor(context, url, proxy.fetch) : undefined;
  const { client, transport } = await connected(provider);
  const run = (send) => authorized(provider, () => transport, send);
  await run(() => client.listTools());
  if (scenario.startsWith('elicitation')) await stream;
  for (const [name, args] of calls) {
    await run(() => client.callTool({ name, arguments: args }));
  }
  await client.close();
}

const CALLS = {
  initialize: [],
  tools_call: [['add_numbers', { a: 5, b: 3 }]],
  'elicitation-sep1034-client-defaults': [['test_client_elicitation_defaults', {}]],
  'sse-retry': [['test_reconnection', {}]],
};

try {
  await callTools(CALLS[scenario] ?? [['test-tool', {}]]);
} finally {
  await proxy.stop();
}
