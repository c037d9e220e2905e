'use strict';
// Completes what is read from standard input, a list, and writes the texts. Run by test_same.py.

const { Sidecar } = require(process.env.CLIENT);

async function main() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  const edge = await Sidecar.start(process.env.BUNDLE, { command: process.env.WRAPPER });
  const texts = [];
  for (const params of JSON.parse(text)) texts.push((await edge.complete(params)).text);
  console.log(JSON.stringify(texts));
  await edge.close();
}

main();
