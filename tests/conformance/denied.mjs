// A tool called with arguments inside a rule, outside it, and inside again, by the official client from the official
// server: `node denied.mjs TOOL ARGUMENTS…` (each JSON). Prints what came of each, and what the server saw.

import { createServer } from 'node:http';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, McpError } from '@modelcontextprotocol/sdk/types.js';
import { start } from './proxy.mjs';

const [tool, ...calls] = process.argv.slice(2);
const seen = [];

/** A server without sessions: everything is new for every request. */
async function answer(request, response) {
  const server = new Server({ name: 'files', version: '1.0.0' }, { capabilities: { tools: {} } });
  server.setRequestHandler(CallToolRequestSchema, async ({ params }) => {
    seen.push(params.arguments);
    return { content: [{ type: 'text', text: `called with ${JSON.stringify(params.arguments)}` }] };
  });
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

const server = createServer(answer);
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const port = String(server.address().port);
const proxy = await start([port]);
try {
  const client = new Client({ name: 'narrowgate-conformance', version: '1.0.0' });
  const url = new URL(`http://localhost:${port}/mcp`);
  await client.connect(new StreamableHTTPClientTransport(url, { fetch: proxy.fetch }));
  const results = [];
  for (const args of calls) {
    try {
      const { content } = await client.callTool({ name: tool, arguments: JSON.parse(args) });
      results.push({ text: content[0].text });
    } catch (error) {
      const { code, message, data } = error;
      results.push({ error: { is_mcp_error: error instanceof McpError, code, message, data } });
    }
  }
  await client.close();
  console.log(JSON.stringify({ results, seen }));
} finally {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
}
