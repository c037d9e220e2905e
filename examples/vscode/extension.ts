// Text at the cursor from `refact-edge lsp`: documents are told as they change, completions are asked
// for, and what was taken is told.

import { spawn } from 'node:child_process';
import * as vscode from 'vscode';
import {
  createProtocolConnection,
  ProtocolConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver-protocol/node';

const ACCEPTED = 'refactEdge.accepted';

function start(bundle: string, command: string, output: vscode.OutputChannel): ProtocolConnection {
  const server = spawn(command, ['lsp', ...(bundle ? [bundle] : []), '--stdio']);
  server.on('error', (error) => {
    vscode.window.showErrorMessage(`refact-edge: ${error.message}; set refactEdge.command to its path`);
  });
  server.stderr.on('data', (text) => output.append(String(text)));
  server.stdin.on('error', () => undefined); // of one that has ended
  const connection = createProtocolConnection(
    new StreamMessageReader(server.stdout),
    new StreamMessageWriter(server.stdin),
  );
  connection.onNotification('window/showMessage', (params: { message: string }) => {
    vscode.window.showWarningMessage(`refact-edge: ${params.message}`);
  });
  connection.listen();
  return connection;
}

function follow(connection: ProtocolConnection): vscode.Disposable[] {
  const opened = (document: vscode.TextDocument) =>
    connection.sendNotification('textDocument/didOpen', {
      textDocument: {
        uri: document.uri.toString(),
        languageId: document.languageId,
        version: document.version,
        text: document.getText(),
      },
    });
  vscode.workspace.textDocuments.forEach(opened);
  return [
    vscode.workspace.onDidOpenTextDocument(opened),
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) =>
      connection.sendNotification('textDocument/didChange', {
        textDocument: { uri: document.uri.toString(), version: document.version },
        contentChanges: contentChanges.map(({ range: { start, end }, text }) => ({
          range: {
            start: { line: start.line, character: start.character },
            end: { line: end.line, character: end.character },
          },
          text,
        })),
      }),
    ),
    vscode.workspace.onDidCloseTextDocument((document) =>
      connection.sendNotification('textDocument/didClose', {
        textDocument: { uri: document.uri.toString() },
      }),
    ),
  ];
}

interface Item {
  insertText: string;
}

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const settings = vscode.workspace.getConfiguration('refactEdge');
  const output = vscode.window.createOutputChannel('refact-edge');
  const connection = start(settings.get('bundle', ''), settings.get('command', 'refact-edge'), output);
  await connection.sendRequest('initialize', {
    processId: process.pid,
    rootUri: null,
    capabilities: {},
    initializationOptions: {},
  });
  await connection.sendNotification('initialized', {});
  const provider: vscode.InlineCompletionItemProvider = {
    async provideInlineCompletionItems(document, position, _context, token) {
      const params = {
        textDocument: { uri: document.uri.toString() },
        position: { line: position.line, character: position.character },
        context: { triggerKind: 2 },
      };
      const list = await connection.sendRequest<{ items: Item[] }>(
        'textDocument/inlineCompletion',
        params,
        token,
      );
      return list.items.map(({ insertText }) => ({
        insertText,
        range: new vscode.Range(position, position),
        command: { title: 'accepted', command: ACCEPTED },
      }));
    },
  };
  context.subscriptions.push(
    output,
    ...follow(connection),
    vscode.languages.registerInlineCompletionItemProvider({ pattern: '**' }, provider),
    vscode.commands.registerCommand(ACCEPTED, () =>
      connection.sendNotification('refactEdge/acceptance', { accepted: true }),
    ),
    { dispose: () => end(connection) },
  );
}

async function end(connection: ProtocolConnection): Promise<void> {
  await connection.sendRequest('shutdown');
  await connection.sendNotification('exit');
  connection.end();
}
