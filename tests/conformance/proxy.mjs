// A `narrowgate up` for one policy, and the HTTP client that knows no other way out.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ProxyAgent, fetch } from 'undici';

/** Shorter than what the suite waits, in milliseconds. */
const LONGEST = 50_000;

/**
 * Starts a proxy that reaches `ports` of localhost, as far as the policy says.
 *
 * From the environment: NARROWGATE (the program), PLUGIN (a component), POLICY (a file that says @SERVER@ for the first
 * port and @OTHERS@ for the rest), OUT (a directory for what is left behind).
 */
export async function start(ports) {
  const { NARROWGATE, PLUGIN, POLICY, OUT } = process.env;
  mkdirSync(OUT, { recursive: true });
  const policy = join(OUT, 'policy.yaml');
  const [server, ...others] = ports;
  const filled = readFileSync(POLICY, 'utf8').replaceAll('@SERVER@', server).replaceAll('@OTHERS@', others.join(', '));
  writeFileSync(policy, filled);
  const resolve = ports.flatMap((port) => ['--resolve', `localhost:${port}:127.0.0.1:${port}`]);
  const any = ['--listen', '127.0.0.1:0', '--gateway-listen', '127.0.0.1:0'];
  const files = ['--policy', policy, '--data', join(OUT, 'data'), '--audit-log', join(OUT, 'audit.jsonl')];
  const args = ['up', '--mode', 'locked', '--plugin', PLUGIN, ...any, ...files, ...resolve];
  const child = spawn(NARROWGATE, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  // However this process ends, nothing stays behind; and it ends, since the suite would only kill the shell around it.
  process.on('exit', () => child.kill('SIGKILL'));
  const ends = () => {
    console.error(`not done after ${LONGEST / 1000} seconds`);
    process.exit(1);
  };
  setTimeout(ends, LONGEST).unref();
  const agent = new ProxyAgent({ uri: await address(child), proxyTunnel: false });
  return {
    fetch: (url, init) => fetch(url, { ...init, dispatcher: agent }),
    async stop() {
      await agent.destroy();
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function address(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`narrowgate up ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [name, url] = line.trim().split(/\s+/);
      if (name === 'proxy') resolve(url);
    });
  });
}
