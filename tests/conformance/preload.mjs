// Loaded into the conformance suite (`node --import`), which is otherwise run as it is published.

import { register } from 'node:module';
import net from 'node:net';

// Says on which ports a scenario's servers listen, before its client is started: an operator would know them.
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (...args) {
  const listening = listen.apply(this, args);
  // The port is taken at once; the event would come after the client's start.
  const ports = (process.env.SCENARIO_PORTS ?? '').split(',').filter((port) => port !== '');
  process.env.SCENARIO_PORTS = [...ports, this.address().port].join(',');
  return listening;
};

// The suite imports `fs.globSync`, which Node has from version 22, for a verb that is not used here.
const url = (module) => `data:text/javascript,${encodeURIComponent(module)}`;
const fs = `
  export * from 'node:fs';
  export function globSync() { throw new Error('fs.globSync needs Node 22'); }`;
const hook = `
  export async function resolve(name, context, next) {
    const isSuite = context.parentURL?.includes('/@modelcontextprotocol/conformance/');
    return name === 'fs' && isSuite ? { url: ${JSON.stringify(url(fs))}, shortCircuit: true } : next(name, context);
  }`;
register(url(hook));
