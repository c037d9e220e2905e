'use strict';
// Completes each line that is typed, and streams the text: node complete.js [BUNDLE]. Ctrl-C ends an
// answer, Ctrl-D the program. REFACT_EDGE names the program that is run, if it is not on the path.

const { createInterface } = require('node:readline');
const path = require('node:path');
const client = path.join(__dirname, '..', '..', 'runtime', 'clients', 'node'); // or 'refact-edge-client'
const { Sidecar } = require(client);

async function main(bundle) {
  const edge = await Sidecar.start(bundle, { command: process.env.REFACT_EDGE });
  console.log(`${edge.info.model.name}, ${edge.info.model.variant}: type the beginning of a line`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' });
  let abort = new AbortController();
  terminal.on('SIGINT', () => abort.abort());
  terminal.prompt();
  for await (const line of terminal) {
    abort = new AbortController();
    const params = { prefix: line, multiline: false, maxTokens: 32, temperature: 0 };
    process.stdout.write(line);
    for await (const piece of edge.stream('complete', params, { signal: abort.signal })) {
      process.stdout.write(piece);
    }
    process.stdout.write('\n');
    terminal.prompt();
  }
  await edge.close();
}

main(process.argv[2]).catch((error) => {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
});
