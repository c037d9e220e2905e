'use strict';
// The Node client beside the real sidecar. Run by test_node.py, which names both.

const assert = require('node:assert/strict');
const { test, before, after } = require('node:test');
const { Sidecar, SidecarError } = require(process.env.CLIENT);

const bundle = process.env.BUNDLE;
const greedy = { temperature: 0, maxTokens: 16 };
const options = { command: process.env.WRAPPER };
let edge;

before(async () => {
  edge = await Sidecar.start(bundle, options);
});
after(() => edge.close());

test('it says what it is', () => {
  assert.equal(edge.info.model.variant, 'int4');
  assert.match(edge.info.protocol, /^1\./);
});

test('a completion has a text, an end and counts', async () => {
  const done = await edge.complete({ prefix: 'def add(a, b):\n    return ', suffix: '\n', ...greedy });
  assert.equal(typeof done.text, 'string');
  assert.ok(done.usage.new <= 16);
  assert.ok(['stop', 'length', 'unsure'].includes(done.finish));
});

test('pieces are the text', async () => {
  const params = { prefix: 'x = ', stop: [], ...greedy };
  const pieces = [];
  const done = await edge.complete(params, { onPiece: (text) => pieces.push(text) });
  assert.equal(pieces.join(''), done.text);
  const streamed = [];
  for await (const piece of edge.stream('complete', params)) streamed.push(piece);
  assert.equal(streamed.join(''), done.text);
});

test('it chats', async () => {
  const done = await edge.chat({ messages: [{ role: 'user', content: 'é?' }], ...greedy });
  assert.ok(done.usage.prompt > 0);
});

test('an aborted request has its text so far', async () => {
  const abort = new AbortController();
  const call = edge.complete(
    { prefix: 'x', maxTokens: 400, stop: [], temperature: 3 },
    { signal: abort.signal },
  );
  abort.abort();
  assert.ok(['cancelled', 'stop'].includes((await call).finish));
});

test('leaving a loop over pieces ends the request', async () => {
  const params = { prefix: 'x', maxTokens: 400, stop: [], temperature: 3 };
  for await (const piece of edge.stream('complete', params)) {
    assert.equal(typeof piece, 'string');
    break;
  }
  assert.ok((await edge.complete({ prefix: 'a', ...greedy })).usage.new <= 16);
});

test('what is wrong is an error with a kind', async () => {
  await assert.rejects(edge.complete({ prefix: 1 }), (error) => {
    assert.ok(error instanceof SidecarError);
    assert.match(error.message, /prefix: found 1, expected text/);
    return true;
  });
  await assert.rejects(edge.complete({ prefix: 'a', maxTokens: 0 }), { kind: 'OptionError' });
});

test('warm and stats count', async () => {
  const warmed = await edge.warm({ prefix: '# warm\n'.repeat(30), suffix: '\n' });
  assert.ok(warmed.prompt > 30);
  assert.ok((await edge.stats()).requests > 0);
});

test('a sidecar that cannot start says why', async () => {
  await assert.rejects(Sidecar.start('/nowhere', options), /the sidecar is gone: error: .*nowhere/);
  await assert.rejects(Sidecar.start(bundle, { command: '/no/such/program' }), /ENOENT/);
});

test('calls after the end are errors', async () => {
  const other = await Sidecar.start(bundle, options);
  await other.close();
  await assert.rejects(other.stats(), /the sidecar is gone/);
});
