'use strict';
// The example's extension, activated in a stub of VS Code, beside the real language server. Run by
// test_vscode.py.

const assert = require('node:assert/strict');
const Module = require('node:module');
const { test } = require('node:test');

const listeners = {};
const on = (name) => (listener) => {
  listeners[name] = listener;
  return { dispose() {} };
};
const messages = [];
let provider;
const commands = {};
const text = 'import os\n\n\ndef add(a, b):\n    return ';
const document = {
  uri: { toString: () => 'file:///project/calc.py' },
  languageId: 'python',
  version: 1,
  getText: () => text,
};
const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose() {} }) };
const settings = { bundle: process.env.BUNDLE, command: process.env.WRAPPER };
const vscode = {
  Range: class {
    constructor(start, end) {
      Object.assign(this, { start, end });
    }
  },
  window: {
    createOutputChannel: () => ({ append() {}, dispose() {} }),
    showErrorMessage: (message) => messages.push(message),
    showWarningMessage: (message) => messages.push(message),
  },
  workspace: {
    textDocuments: [document],
    getConfiguration: () => ({ get: (name, other) => settings[name] ?? other }),
    onDidOpenTextDocument: on('open'),
    onDidChangeTextDocument: on('change'),
    onDidCloseTextDocument: on('close'),
  },
  languages: {
    registerInlineCompletionItemProvider: (_, own) => {
      provider = own;
      return { dispose() {} };
    },
  },
  commands: {
    registerCommand: (name, run) => {
      commands[name] = run;
      return { dispose() {} };
    },
  },
};
const load = Module._load;
Module._load = (name, ...rest) => (name === 'vscode' ? vscode : load(name, ...rest));

test('it completes at the cursor of an open document, follows changes, and ends', async () => {
  const { activate } = require(process.env.EXTENSION);
  const context = { subscriptions: [] };
  await activate(context);
  const ask = (line, character) =>
    provider.provideInlineCompletionItems(document, { line, character }, {}, token);
  const [item] = await ask(4, 11);
  assert.ok(item.insertText.length > 0);
  assert.equal(item.range.start.line, 4);
  await commands[item.command.command]();
  const range = { start: { line: 4, character: 11 }, end: { line: 4, character: 11 } };
  listeners.change({ document: { ...document, version: 2 }, contentChanges: [{ range, text: 'a + ' }] });
  const items = await ask(4, 15);
  assert.ok(Array.isArray(items));
  assert.deepEqual(messages, []);
  await context.subscriptions.at(-1).dispose();
});
